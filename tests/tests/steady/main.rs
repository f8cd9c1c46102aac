//! What it costs to carry a fixed amount: counted, not timed. What becomes dearer shows here, whatever the machine is
//! doing; allocations are counted by the daemons' own tests of this name.

mod calls;
mod carrying;
mod copies;
mod instructions;

const MIB: usize = 1 << 20;

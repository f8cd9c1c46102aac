//! A step of a domain's life as libvirt tells it to a hook: `NAME OPERATION SUB-OPERATION EXTRA`
//! (<https://libvirt.org/hooks.html>, the QEMU script).

use std::ffi::OsString;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest argument that is taken, in bytes: libvirt's own names have at most 255.
const LONGEST: usize = 1024;

/// Writes the table of operations once.
macro_rules! operations {
    ($($(#[$doc:meta])* $variant:ident $word:literal $bearing:ident)*) => {
        /// What happens to the domain.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Operation {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl Operation {
            /// All that libvirt has had so far.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// libvirt's word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What libvirt makes of the hook's answer.
            pub const fn bearing(self) -> Bearing {
                match self { $(Self::$variant => Bearing::$bearing,)* }
            }
        }
    };
}

operations! {
    /// Before anything of the guest's is set up.
    Prepare   "prepare"   Permits
    /// Before QEMU runs.
    Start     "start"     Permits
    /// It runs.
    Started   "started"   Tells
    /// It does not run any more.
    Stopped   "stopped"   TellsLater
    /// All that it had is given back.
    Release   "release"   TellsLater
    /// It comes from another host.
    Migrate   "migrate"   Rewrites
    /// It comes from a file.
    Restore   "restore"   Rewrites
    /// libvirt has found it again, after a restart of its own.
    Reconnect "reconnect" Tells
    /// libvirt has taken over a QEMU that somebody else had started.
    Attach    "attach"    Tells
}

/// What libvirt makes of the answer to an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bearing {
    /// Failure keeps the guest from starting.
    Permits,
    /// Failure ends the guest, or nothing: there is never a reason to fail. Who misses it sees it in libvirt.
    Tells,
    /// Failure means nothing. What somebody had may be given to others, so whoever misses it must hear it later.
    TellsLater,
    /// What is printed is the domain from then on; failure keeps it from coming here.
    Rewrites,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A step of a domain's life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// The domain's name.
    pub name: String,
    /// What happens.
    pub operation: Operation,
    /// `begin`, `end`, or `-`.
    pub sub_operation: String,
    /// `-` in every libvirt so far; of `attach` and `migrate` it may say more some day.
    pub extra: String,
}

/// The arguments are not those of a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoStep {
    /// There are too few, or too many.
    #[error("libvirt gives four arguments, NAME OPERATION SUB-OPERATION EXTRA; there are {0}")]
    Number(usize),
    /// One is too long, or not UTF-8.
    #[error("argument {0} has more than {LONGEST} bytes, or is not UTF-8")]
    Argument(usize),
    /// A later libvirt has invented something, or another driver's hook was meant.
    #[error("the operation {0:?} is not known")]
    Unknown(String),
}

impl Step {
    /// Of the hook's arguments, without the program's name.
    pub fn of(arguments: &[OsString]) -> Result<Self, NoStep> {
        let [name, operation, sub_operation, extra] = arguments else {
            return Err(NoStep::Number(arguments.len()));
        };
        let text = |number: usize, argument: &OsString| {
            let text = argument.to_str().filter(|text| text.len() <= LONGEST);
            text.map(str::to_owned).ok_or(NoStep::Argument(number))
        };
        let operation = text(2, operation)?;
        let known = Operation::ALL.iter().copied().find(|known| known.as_str() == operation);
        Ok(Self {
            name: text(1, name)?,
            operation: known.ok_or(NoStep::Unknown(operation))?,
            sub_operation: text(3, sub_operation)?,
            extra: text(4, extra)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt as _;

    fn step(arguments: &[&str]) -> Result<Step, NoStep> {
        Step::of(&arguments.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn libvirts_arguments_are_a_step() {
        let migrate = step(&["web-01", "migrate", "begin", "-"]).unwrap();
        assert_eq!((migrate.name.as_str(), migrate.operation), ("web-01", Operation::Migrate));
        for operation in Operation::ALL {
            assert_eq!(step(&["--help", operation.as_str(), "begin", "-"]).unwrap().operation, *operation);
        }
        assert_eq!(step(&[]), Err(NoStep::Number(0)));
        assert_eq!(step(&["a", "prepare", "begin", "-", "-"]), Err(NoStep::Number(5)));
        assert_eq!(step(&["a", "resize", "begin", "-"]), Err(NoStep::Unknown("resize".to_owned())));
        assert_eq!(step(&[&"a".repeat(1025), "prepare", "begin", "-"]), Err(NoStep::Argument(1)));
        let odd = [OsString::from_vec(vec![0xff]), "prepare".into(), "begin".into(), "-".into()];
        assert_eq!(Step::of(&odd), Err(NoStep::Argument(1)));
    }

    #[test]
    fn no_failure_where_failure_kills() {
        for operation in [Operation::Started, Operation::Reconnect, Operation::Attach] {
            assert_eq!(operation.bearing(), Bearing::Tells);
        }
        for operation in [Operation::Stopped, Operation::Release] {
            assert_eq!(operation.bearing(), Bearing::TellsLater);
        }
    }
}

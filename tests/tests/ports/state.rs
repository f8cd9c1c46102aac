//! A database that takes nothing.

//! Workers that die.

use crate::support::tests;

tests!();

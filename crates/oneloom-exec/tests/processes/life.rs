//! Pools from their beginning to their end.

use crate::support::tests;

tests!();

//! What is made once in a process, so that no fork can come in between.
//!
//! pyo3's cells let go of the interpreter while they are being filled: a child that was forked in that moment would
//! wait for ever for a thread that it does not have. Here a value is made first and then only stored, which takes
//! place while attached and so not during a fork. Of two that were made at the same time, one is dropped.

use std::sync::OnceLock;

/// What stands in `cell`, made if there is nothing. To be called attached.
#[inline]
pub fn kept<T, E>(cell: &OnceLock<T>, make: impl FnOnce() -> Result<T, E>) -> Result<&T, E> {
    if let Some(value) = cell.get() {
        return Ok(value);
    }
    let made = make()?;
    Ok(cell.get_or_init(|| made))
}

/// A name as the interpreter keeps it: what pyo3's own macro gives, but stored by [`kept`].
macro_rules! intern {
    ($python:expr, $name:expr) => {{
        static NAME: std::sync::OnceLock<pyo3::Py<pyo3::types::PyString>> = std::sync::OnceLock::new();
        let python: pyo3::Python<'_> = $python;
        let make = || Ok(pyo3::types::PyString::intern(python, $name).unbind());
        let Ok(name) = $crate::once::kept::<_, std::convert::Infallible>(&NAME, make);
        name.bind(python)
    }};
}
pub(crate) use intern;

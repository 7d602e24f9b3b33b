//! How objects show themselves: the parts of a `repr`, and the attribute `name`.

use pyo3::prelude::*;

use crate::once::intern;

/// `'name' `, or nothing for an object without a name.
pub fn quoted(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("'{name}' "))
}

/// `oneloom.Class 'name' at 0x…`.
pub fn title(object: &Bound<'_, PyAny>, name: Option<&str>) -> PyResult<String> {
    let class = object.get_type();
    Ok(format!("oneloom.{} {}at {:#x}", class.name()?, quoted(name), object.as_ptr() as usize))
}

/// The attribute `name`: what was assigned, else the name that was given.
///
/// The standard library's objects have none, so that a subclass may have one for its own use.
pub fn name<'py>(object: &Bound<'py, PyAny>, given: Option<&str>) -> PyResult<Bound<'py, PyAny>> {
    let python = object.py();
    let own = object.getattr_opt(intern!(python, "__dict__"))?;
    match own.and_then(|own| own.get_item(intern!(python, "name")).ok()) {
        Some(assigned) => Ok(assigned),
        None => Ok(given.into_pyobject(python)?.into_any()),
    }
}

/// Assigns the attribute `name`, as far as the object takes attributes. Messages go on with the name that was given.
pub fn set_name(object: &Bound<'_, PyAny>, name: &Bound<'_, PyAny>) -> PyResult<()> {
    let own = object.getattr(intern!(object.py(), "__dict__"))?;
    own.set_item(intern!(object.py(), "name"), name)
}

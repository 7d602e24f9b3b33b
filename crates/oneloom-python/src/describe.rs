//! How objects show themselves: the parts of a `repr`.

use pyo3::prelude::*;

/// `'name' `, or nothing for an object without a name.
pub fn quoted(name: Option<&str>) -> String {
    name.map_or_else(String::new, |name| format!("'{name}' "))
}

/// `oneloom.Class 'name' at 0x…`.
pub fn title(object: &Bound<'_, PyAny>, name: Option<&str>) -> PyResult<String> {
    let class = object.get_type();
    Ok(format!("oneloom.{} {}at {:#x}", class.name()?, quoted(name), object.as_ptr() as usize))
}

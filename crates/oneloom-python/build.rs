//! Lets the code ask which CPython it is built for: `cfg(Py_3_13)` is this version or a newer one.

fn main() {
    pyo3_build_config::use_pyo3_cfgs();
}

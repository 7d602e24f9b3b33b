//! The queues.

use oneloom_sync::raw::queue::{Fifo, GetCall, Lifo, PutCall, RawQueue, Store};
use pyo3::prelude::*;

use crate::arguments::{name, queue_deadline};
use crate::environment::wait;
use crate::errors;
use crate::waiting::{Held, Holds, Waiting};

type Item = Py<PyAny>;

fn put<S: Store<Item = Item>>(
    python: Python<'_>,
    raw: &RawQueue<S>,
    item: Item,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<()>
where
    S: Send,
{
    let mut call = PutCall::<S>::new(item);
    match wait(python, raw, &mut call, || queue_deadline(block, timeout))? {
        Some(Ok(())) => Ok(()),
        Some(Err(_)) => Err(errors::SHUT_DOWN.error(python)),
        None => Err(errors::FULL.error(python)),
    }
}

fn get<S: Store<Item = Item>>(
    python: Python<'_>,
    raw: &RawQueue<S>,
    block: bool,
    timeout: Option<f64>,
) -> PyResult<Item> {
    let mut call = GetCall::<S>::default();
    match wait(python, raw, &mut call, || queue_deadline(block, timeout))? {
        Some(Ok(item)) => Ok(item),
        Some(Err(_)) => Err(errors::SHUT_DOWN.error(python)),
        None => Err(errors::EMPTY.error(python)),
    }
}

macro_rules! queue_class {
    ($class:ident, $store:ty) => {
        /// A queue.
        #[pyclass(frozen, subclass, weakref, dict, module = "oneloom")]
        pub struct $class {
            raw: RawQueue<$store>,
        }
        impl Holds for $class {
            type Primitive = RawQueue<$store>;
            fn raw(&self) -> &RawQueue<$store> {
                &self.raw
            }
        }
        #[pymethods]
        impl $class {
            #[new]
            #[pyo3(signature = (maxsize=0, *, name=None))]
            fn new(maxsize: isize, name: Option<&str>) -> Self {
                Self { raw: RawQueue::new(maxsize.max(0) as usize, self::name(name)) }
            }
            #[pyo3(signature = (item, block=true, timeout=None))]
            fn put(&self, python: Python<'_>, item: Item, block: bool, timeout: Option<f64>) -> PyResult<()> {
                put(python, &self.raw, item, block, timeout)
            }
            #[pyo3(signature = (block=true, timeout=None))]
            fn get(&self, python: Python<'_>, block: bool, timeout: Option<f64>) -> PyResult<Item> {
                get(python, &self.raw, block, timeout)
            }
            #[pyo3(signature = (timeout=None))]
            fn _get_later(slf: &Bound<'_, Self>, timeout: Option<f64>) -> PyResult<Waiting> {
                Waiting::new(
                    slf.py(),
                    Held(slf.clone().unbind()),
                    GetCall::default(),
                    timeout,
                    |python, got| got.map_err(|_| errors::SHUT_DOWN.error(python)),
                    |python| Err(errors::EMPTY.error(python)),
                )
            }
        }
    };
}

queue_class!(Queue, Fifo<Item>);
queue_class!(LifoQueue, Lifo<Item>);
queue_class!(SimpleQueue, Fifo<Item>);

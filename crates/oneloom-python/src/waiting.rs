//! How a coroutine waits: an awaitable that drives one call of one primitive.
//!
//! Awaited, it polls the call; while that is pending it awaits a plain asyncio future, which the loop's port
//! resolves. A cancellation arrives as `throw`, and gives the call up before it goes on.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use oneloom_wait::graph::Deadlock;
use oneloom_wait::wait::{Call, Handle, Primitive, Waiting as CallFuture};
use pyo3::PyClass;
use pyo3::exceptions::PyStopIteration;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyString};

use crate::environment::{notifying, raise_soon};
use crate::once::{intern, kept};
use crate::owner;
use crate::port::{self, Port};
use crate::report;

/// How long a wait without a time limit lasts before it is looked at, in seconds.
const SUSPICIOUS: f64 = 1.0;

/// A call as the awaitable sees it.
pub trait AsyncCall: Send + Sync {
    /// Tries, and has the context's waker told when to try again.
    fn poll(&mut self, python: Python<'_>, context: &mut Context<'_>) -> Poll<PyResult<Py<PyAny>>>;
    /// The time is over: the result after all, or what that gives or raises.
    fn expire(&mut self, python: Python<'_>) -> PyResult<Py<PyAny>>;
    /// Gives up; what had been handed over goes to another.
    fn cancel(&mut self);
    /// Whether the call itself has ended the wait, without a result.
    fn has_failed(&self) -> bool {
        false
    }
    /// A suspected deadlock that the wait is part of.
    fn examine(&mut self, python: Python<'_>) -> Option<Deadlock>;
    /// Whether it waits for what somebody holds, so that there may be one.
    fn may_deadlock(&self) -> bool;
    /// Shows the primitive's object to the garbage collector.
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError>;
}

/// A handle that the garbage collector sees through.
pub trait Visible {
    /// Shows the Python object that it holds, if there is one.
    fn visit(&self, _visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        Ok(())
    }
}

impl<T: PyClass> Visible for Held<T> {
    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.0)
    }
}

impl<P> Visible for Arc<P> {}

/// Keeps a primitive that stands in a Python object.
pub struct Held<T: PyClass>(pub Py<T>);

/// A frozen class around one primitive.
pub trait Holds {
    /// The primitive.
    type Primitive: Primitive;
    /// It.
    fn raw(&self) -> &Self::Primitive;
}

// SAFETY: a frozen class's content stays where it is while the reference that `Held` owns lives.
unsafe impl<T> Handle for Held<T>
where
    T: PyClass<Frozen = pyo3::pyclass::boolean_struct::True> + Sync + Holds,
{
    type Primitive = T::Primitive;

    fn primitive(&self) -> &T::Primitive {
        self.0.get().raw()
    }
}

/// True or False, as what an awaitable gives.
pub fn truth(python: Python<'_>, value: bool) -> Py<PyAny> {
    PyBool::new(python, value).to_owned().into_any().unbind()
}

/// A call with the words for its ends.
struct Spoken<H, C, Ok, Late>
where
    H: Handle<Primitive = C::Primitive>,
    C: Call,
{
    future: Pin<Box<CallFuture<H, C>>>,
    finish: Ok,
    late: Late,
}

// SAFETY: a shared reference only reads the handle, a reference to what threads share, and what the future says of
// itself, which changes through `&mut` alone; everything else is reached through `&mut`.
unsafe impl<H, C, Ok, Late> Sync for Spoken<H, C, Ok, Late>
where
    H: Handle<Primitive = C::Primitive>,
    C: Call,
{
}

impl<H, C, Ok, Late> AsyncCall for Spoken<H, C, Ok, Late>
where
    H: Handle<Primitive = C::Primitive> + Visible + Send,
    C: Call + Send,
    Ok: Fn(Python<'_>, &H, C::Output) -> PyResult<Py<PyAny>> + Send,
    Late: Fn(Python<'_>, &H) -> PyResult<Py<PyAny>> + Send,
{
    fn poll(&mut self, python: Python<'_>, context: &mut Context<'_>) -> Poll<PyResult<Py<PyAny>>> {
        let polled = self.future.as_mut().poll(context);
        polled.map(|output| (self.finish)(python, self.future.handle(), output))
    }

    fn expire(&mut self, python: Python<'_>) -> PyResult<Py<PyAny>> {
        match self.future.as_mut().expire() {
            Result::Ok(output) => (self.finish)(python, self.future.handle(), output),
            Err(_) => (self.late)(python, self.future.handle()),
        }
    }

    fn cancel(&mut self) {
        self.future.as_mut().cancel();
    }

    fn has_failed(&self) -> bool {
        self.future.has_failed()
    }

    fn examine(&mut self, python: Python<'_>) -> Option<Deadlock> {
        // Who decides about cycles of several processes may have to be waited for.
        let future = &mut self.future;
        python.detach(move || {
            // The whole of it: a future may go to another thread, but not be shared.
            let future = future;
            future.examine()
        })
    }

    fn may_deadlock(&self) -> bool {
        self.future.has_holder()
    }

    fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.future.handle().visit(visit)
    }
}

/// What an `_async` method awaits where it has to wait.
#[pyclass(module = "oneloom._native")]
pub struct Waiting {
    call: Box<dyn AsyncCall>,
    running: Py<PyAny>,
    port: Py<Port>,
    /// The future that is awaited now, and its token.
    awaited: Option<(Py<PyAny>, u64)>,
    timeout: Option<f64>,
    /// The timer's handle.
    timer: Option<Py<PyAny>>,
    expired: bool,
    /// What the wait ends with although its call goes on.
    error: Option<PyErr>,
    /// Whether it gives nothing, as `async with` has it.
    silent: bool,
}

impl Waiting {
    /// An awaitable for `call`. `finish` makes its result; `late` says what a passed timeout gives or raises.
    pub fn new<H, C>(
        python: Python<'_>,
        handle: H,
        call: C,
        timeout: Option<f64>,
        finish: impl Fn(Python<'_>, C::Output) -> PyResult<Py<PyAny>> + Send + 'static,
        late: impl Fn(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Self>
    where
        H: Handle<Primitive = C::Primitive> + Visible + Send + 'static,
        C: Call + Send + 'static,
    {
        let finish = move |python: Python<'_>, _: &H, output| finish(python, output);
        Self::around(python, handle, call, timeout, finish, move |python, _| late(python))
    }

    /// The same where the ends have to do with the object itself: a reference of their own to it would be hidden
    /// from the garbage collector.
    pub fn around<H, C>(
        python: Python<'_>,
        handle: H,
        call: C,
        timeout: Option<f64>,
        finish: impl Fn(Python<'_>, &H, C::Output) -> PyResult<Py<PyAny>> + Send + 'static,
        late: impl Fn(Python<'_>, &H) -> PyResult<Py<PyAny>> + Send + 'static,
    ) -> PyResult<Self>
    where
        H: Handle<Primitive = C::Primitive> + Visible + Send + 'static,
        C: Call + Send + 'static,
    {
        let future = CallFuture::new(handle, call).shown_as(owner::current(python));
        let future = Box::pin(if timeout.is_some() { future.timed() } else { future });
        Self::over(python, Box::new(Spoken { future, finish, late }), timeout)
    }

    /// An awaitable for a call of any make.
    pub fn over(python: Python<'_>, call: Box<dyn AsyncCall>, timeout: Option<f64>) -> PyResult<Self> {
        let (running, port) = port::current(python)?;
        Ok(Self {
            call,
            running: running.unbind(),
            port: port.unbind(),
            awaited: None,
            timeout,
            timer: None,
            expired: false,
            error: None,
            silent: false,
        })
    }

    /// An awaitable that gives True, or False when the time is over; `finish` says which a result is.
    pub fn yes_or_no<H, C>(
        python: Python<'_>,
        handle: H,
        call: C,
        timeout: Option<f64>,
        finish: impl Fn(C::Output) -> bool + Send + 'static,
    ) -> PyResult<Self>
    where
        H: Handle<Primitive = C::Primitive> + Visible + Send + 'static,
        C: Call + Send + 'static,
    {
        let yes = move |python: Python<'_>, output| Ok(truth(python, finish(output)));
        Self::new(python, handle, call, timeout, yes, move |python| Ok(truth(python, false)))
    }

    /// The same awaitable, which gives None.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.silent = true;
        self
    }

    /// After how long to call which method: the time limit's, or the look for a deadlock where there is none.
    fn alarm<'py>(&self, python: Python<'py>) -> Option<(f64, &'py Bound<'py, PyString>)> {
        match self.timeout {
            Some(timeout) => Some((timeout.max(0.0), intern!(python, "_expire"))),
            None if self.call.may_deadlock() && report::watches_tasks() => {
                Some((SUSPICIOUS, intern!(python, "_examine")))
            }
            None => None,
        }
    }

    /// Lets the coroutine look at this awaitable again.
    fn nudge(slf: &Bound<'_, Self>) -> PyResult<()> {
        let awaited = slf.borrow().awaited.as_ref().map(|(future, _)| future.clone_ref(slf.py()));
        awaited.map_or(Ok(()), |future| port::resolve(future.bind(slf.py())))
    }

    fn stop_waiting(&mut self, python: Python<'_>) {
        if let Some((_, token)) = self.awaited.take() {
            self.port.get().forget(token);
        }
        // Cancelling a timer that has fired is allowed and does nothing.
        let cancelled = self.timer.take().map(|timer| timer.call_method0(python, intern!(python, "cancel")));
        if let Some(Err(error)) = cancelled {
            raise_soon(python, error);
        }
    }

    fn end(&mut self, python: Python<'_>, result: PyResult<Py<PyAny>>) -> PyErr {
        self.stop_waiting(python);
        match result {
            Ok(_) if self.silent => PyStopIteration::new_err(()),
            Ok(value) => PyStopIteration::new_err((value,)),
            Err(error) => error,
        }
    }

    /// One step: the future to await, or how it ended.
    ///
    /// # Errors
    /// What was raised in between; the call goes on then.
    fn step(slf: &Bound<'_, Self>) -> PyResult<Result<Py<PyAny>, PyErr>> {
        let python = slf.py();
        let mut this = slf.borrow_mut();
        if let Some((_, token)) = this.awaited.take() {
            this.port.get().forget(token);
        }
        if let Some(error) = this.error.take() {
            notifying(python, || this.call.cancel());
            return Ok(Err(this.end(python, Err(error))));
        }
        if this.expired {
            let result = this.call.expire(python);
            return Ok(Err(this.end(python, result)));
        }
        let future = this.running.call_method0(python, intern!(python, "create_future"))?;
        let (waker, token) = this.port.get().waker(future.clone_ref(python));
        this.awaited = Some((future.clone_ref(python), token));
        let mut context = Context::from_waker(&waker);
        let polled = notifying(python, || this.call.poll(python, &mut context));
        if let Poll::Ready(result) = polled {
            return Ok(Err(this.end(python, result)));
        }
        if this.call.has_failed() {
            // Whoever made the call asks it what went wrong.
            return Ok(Err(this.end(python, Ok(python.None()))));
        }
        let alarm = if this.timer.is_none() { this.alarm(python) } else { None };
        if let Some((delay, callback)) = alarm {
            let callback = slf.getattr(callback)?;
            let timer =
                this.running.call_method1(python, intern!(python, "call_later"), (delay, callback))?;
            this.timer = Some(timer);
        }
        future.setattr(python, intern!(python, "_asyncio_future_blocking"), true)?;
        Ok(Ok(future))
    }
}

#[pymethods]
impl Waiting {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(slf: &Bound<'_, Self>) -> PyResult<Py<PyAny>> {
        Self::step(slf).unwrap_or_else(|error| {
            // The coroutine is not going to await this again.
            Self::close(slf);
            Err(error)
        })
    }

    fn send(slf: &Bound<'_, Self>, _value: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        Self::__next__(slf)
    }

    /// A cancellation, or whatever else is thrown into the coroutine: gives up, passes on, and lets it go on.
    #[pyo3(signature = (kind, value=None, traceback=None))]
    fn throw(
        slf: &Bound<'_, Self>,
        kind: Bound<'_, PyAny>,
        value: Option<Bound<'_, PyAny>>,
        traceback: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Py<PyAny>> {
        let _ = traceback;
        Self::close(slf);
        let error = match value {
            Some(value) if !value.is_none() => value,
            _ if kind.is_instance_of::<pyo3::types::PyType>() => kind.call0()?,
            _ => kind,
        };
        Err(PyErr::from_value(error))
    }

    fn close(slf: &Bound<'_, Self>) {
        let python = slf.py();
        let mut this = slf.borrow_mut();
        notifying(python, || this.call.cancel());
        this.stop_waiting(python);
    }

    /// The timer's callback, where there is a time limit.
    fn _expire(slf: &Bound<'_, Self>) -> PyResult<()> {
        slf.borrow_mut().expired = true;
        Self::nudge(slf)
    }

    /// The timer's callback, where there is none: the wait has lasted long enough to look for a deadlock.
    fn _examine(slf: &Bound<'_, Self>) -> PyResult<()> {
        let found = slf.borrow_mut().call.examine(slf.py());
        let Some(deadlock) = found else { return Ok(()) };
        let Some(error) = report::judge_task(slf.py(), &deadlock)? else { return Ok(()) };
        slf.borrow_mut().error = Some(error);
        Self::nudge(slf)
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.call.visit(&visit)?;
        visit.call(&self.running)?;
        visit.call(&self.port)?;
        visit.call(self.awaited.as_ref().map(|(future, _)| future))?;
        visit.call(&self.timer)
    }

    fn __clear__(&mut self) {
        self.awaited = None;
        self.timer = None;
    }
}

/// An awaitable that is done, with nothing to give: what `async with` gets where it need not wait. There is one,
/// and awaiting it costs a third of a coroutine.
#[pyclass(frozen, module = "oneloom._native")]
pub struct Done;

static DONE: OnceLock<Py<Done>> = OnceLock::new();

impl Done {
    /// The one there is.
    pub fn awaitable(python: Python<'_>) -> PyResult<Py<PyAny>> {
        let done = kept(&DONE, || Py::new(python, Self))?;
        Ok(done.clone_ref(python).into_any())
    }
}

#[pymethods]
impl Done {
    fn __await__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __iter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    fn __next__(&self) -> Option<Py<PyAny>> {
        None
    }
}

//! Pools: workers that run what is submitted to them, and futures of what comes of it.
//!
//! A [`ThreadPool`] runs closures on threads of this process, a [`ProcessPool`] functions of this program in processes of
//! their own. What they give is a [`Future`]: to wait for on a thread, or to await on any executor.
//!
//! ```
//! use oneloom::pool::ThreadPool;
//!
//! let pool = ThreadPool::new(4);
//! let squares: Vec<_> = (0..5_u64).map(|number| pool.submit(move || number * number)).collect();
//! let total: u64 = squares.into_iter().map(|square| square.wait().unwrap()).sum();
//! assert_eq!(total, 30);
//! # pollster::block_on(async {
//! assert_eq!(pool.submit(|| "awaited").await.unwrap(), "awaited");
//! # });
//! ```

mod future;
mod processes;
mod threads;
pub(crate) mod worker;

pub use future::{Future, TaskError};
pub use oneloom_exec::pool::Settings;
pub use oneloom_exec::task::Limits;
pub use processes::ProcessPool;
pub use threads::ThreadPool;

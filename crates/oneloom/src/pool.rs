//! Pools: workers that run what is submitted to them, and futures of what comes of it.
//!
//! A [`ThreadPool`] runs closures on threads of this process. What it gives is a [`Future`]: to wait for on a thread, or
//! to await on any executor.
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
mod threads;

pub use future::{Future, TaskError};
pub use threads::ThreadPool;

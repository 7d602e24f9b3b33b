//! Queues between two processes: one way, there and back; beside ipc-channel, which sends through a socket.
//!
//! Each sample has a child of its own, which is started before the clock is.

use std::time::{Duration, Instant};

use ipc_channel::ipc::{self, IpcBytesReceiver, IpcBytesSender, IpcOneShotServer, IpcReceiver, IpcSender};
use oneloom::process::{Functions, Process};
use oneloom::shared::{ByteQueue, Queue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::rounds::{Rival, Row};

/// A small value that is no plain copy.
type Tuple = (u64, String, f64);

const BYTES: [u8; 100] = [7; 100];

fn tuple() -> Tuple {
    (7_000_000, "seven".into(), 7.5)
}

/// One process's ends of two queues between two, each for items of one kind.
trait Ends: Sized {
    /// What the parent keeps until its child has connected.
    type Server;
    /// What a child needs to connect.
    type Address: Serialize + DeserializeOwned;

    fn serve() -> (Self::Server, Self::Address);
    fn accept(server: Self::Server) -> Self;
    fn connect(address: Self::Address) -> Self;
    fn send(&self);
    /// Receives an item and looks at it.
    fn receive(&self) -> bool;
}

struct OurBytes(ByteQueue, ByteQueue);

impl Ends for OurBytes {
    type Server = Self;
    type Address = (ByteQueue, ByteQueue);

    fn serve() -> (Self, Self::Address) {
        let (there, back) = (ByteQueue::new().unwrap(), ByteQueue::new().unwrap());
        (Self(there.clone(), back.clone()), (back, there))
    }
    fn accept(server: Self) -> Self {
        server
    }
    fn connect((there, back): Self::Address) -> Self {
        Self(there, back)
    }
    fn send(&self) {
        self.0.put(&BYTES).unwrap();
    }
    fn receive(&self) -> bool {
        self.1.get().unwrap() == BYTES
    }
}

struct OurTuples(Queue<Tuple>, Queue<Tuple>);

impl Ends for OurTuples {
    type Server = Self;
    type Address = (Queue<Tuple>, Queue<Tuple>);

    fn serve() -> (Self, Self::Address) {
        let (there, back) = (Queue::new().unwrap(), Queue::new().unwrap());
        (Self(there.clone(), back.clone()), (back, there))
    }
    fn accept(server: Self) -> Self {
        server
    }
    fn connect((there, back): Self::Address) -> Self {
        Self(there, back)
    }
    fn send(&self) {
        self.0.put(&tuple()).unwrap();
    }
    fn receive(&self) -> bool {
        self.1.get().unwrap() == tuple()
    }
}

/// Its own channel for bytes, without serde.
struct TheirBytes(IpcBytesSender, IpcBytesReceiver);

impl Ends for TheirBytes {
    type Server = IpcOneShotServer<(IpcBytesSender, IpcBytesReceiver)>;
    type Address = String;

    fn serve() -> (Self::Server, String) {
        IpcOneShotServer::new().unwrap()
    }
    fn accept(server: Self::Server) -> Self {
        let (_, (sender, receiver)) = server.accept().unwrap();
        Self(sender, receiver)
    }
    fn connect(address: String) -> Self {
        let (there, arriving) = ipc::bytes_channel().unwrap();
        let (answering, back) = ipc::bytes_channel().unwrap();
        IpcSender::connect(address).unwrap().send((answering, arriving)).unwrap();
        Self(there, back)
    }
    fn send(&self) {
        self.0.send(&BYTES).unwrap();
    }
    fn receive(&self) -> bool {
        self.1.recv().unwrap() == BYTES
    }
}

struct TheirTuples(IpcSender<Tuple>, IpcReceiver<Tuple>);

impl Ends for TheirTuples {
    type Server = IpcOneShotServer<(IpcSender<Tuple>, IpcReceiver<Tuple>)>;
    type Address = String;

    fn serve() -> (Self::Server, String) {
        IpcOneShotServer::new().unwrap()
    }
    fn accept(server: Self::Server) -> Self {
        let (_, (sender, receiver)) = server.accept().unwrap();
        Self(sender, receiver)
    }
    fn connect(address: String) -> Self {
        let (there, arriving) = ipc::channel().unwrap();
        let (answering, back) = ipc::channel().unwrap();
        IpcSender::connect(address).unwrap().send((answering, arriving)).unwrap();
        Self(there, back)
    }
    fn send(&self) {
        self.0.send(tuple()).unwrap();
    }
    fn receive(&self) -> bool {
        self.1.recv().unwrap() == tuple()
    }
}

/// In the child: sends so many, once it is told to.
fn flood<E: Ends>((address, count): (E::Address, u64)) {
    let ends = E::connect(address);
    assert!(ends.receive());
    (0..count).for_each(|_| ends.send());
}

/// In the child: sends back what it receives.
fn echo<E: Ends>((address, count): (E::Address, u64)) {
    let ends = E::connect(address);
    for _ in 0..=count {
        assert!(ends.receive());
        ends.send();
    }
}

/// The time that `count` items take from a child to here.
fn one_way<E: Ends + 'static>(count: u64) -> Duration {
    let (server, address) = E::serve();
    let child = Process::spawn(flood::<E>, (address, count)).unwrap();
    let ends = E::accept(server);
    let start = Instant::now();
    ends.send();
    assert!((0..count).all(|_| ends.receive()), "an item was changed");
    let took = start.elapsed();
    child.join().unwrap();
    took
}

/// The time that `count` items take to a child and back, one after the other.
fn round_trip<E: Ends + 'static>(count: u64) -> Duration {
    let (server, address) = E::serve();
    let child = Process::spawn(echo::<E>, (address, count)).unwrap();
    let ends = E::accept(server);
    let once = || {
        ends.send();
        assert!(ends.receive(), "an item was changed");
    };
    // When this one is back, the child is ready.
    once();
    let start = Instant::now();
    (0..count).for_each(|_| once());
    let took = start.elapsed();
    child.join().unwrap();
    took
}

/// What children run.
pub fn register(functions: &mut Functions) {
    functions.add(flood::<OurBytes>);
    functions.add(flood::<OurTuples>);
    functions.add(flood::<TheirBytes>);
    functions.add(flood::<TheirTuples>);
    functions.add(echo::<OurBytes>);
    functions.add(echo::<TheirBytes>);
}

fn row(key: &'static str, ours: fn(u64) -> Duration, theirs: fn(u64) -> Duration) -> Row {
    Row {
        key,
        rivals: vec![Rival { name: "oneloom", run: ours }, Rival { name: "ipc-channel", run: theirs }],
    }
}

/// The rows.
pub fn rows() -> Vec<Row> {
    vec![
        row("rust-shared-bytes", one_way::<OurBytes>, one_way::<TheirBytes>),
        row("rust-shared-tuple", one_way::<OurTuples>, one_way::<TheirTuples>),
        row("rust-shared-round-trip", round_trip::<OurBytes>, round_trip::<TheirBytes>),
    ]
}

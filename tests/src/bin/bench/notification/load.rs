//! Endless webhooks, each with its own key: otherwise all after the first would be duplicates.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use lockstep_tests::gitlab::{Webhook, push};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, timeout};

use crate::slack::answer;

/// How many webhooks are in flight at the same time.
const CONNECTIONS: usize = 64;

const PATIENCE: Duration = Duration::from_secs(10);

/// The placeholder for the key in a request.
const KEY: &[u8] = b"key-000000000000";

/// A push to one project, with the positions of the key in it.
pub(super) struct Request {
    bytes: Vec<u8>,
    places: Vec<usize>,
}

impl Request {
    pub(super) fn new(address: SocketAddr, webhook: &Webhook, project: i64) -> Self {
        let key = String::from_utf8_lossy(KEY);
        let body = push(project, &key).to_string();
        let mut head = format!(
            "POST /gitlab/hooks HTTP/1.1\r\nhost: {address}\r\ncontent-length: {}\r\n",
            body.len()
        );
        for (name, value) in webhook.headers(&key, "Push Hook", body.as_bytes()) {
            head += &format!("{name}: {value}\r\n");
        }
        let bytes = format!("{head}\r\n{body}").into_bytes();
        let places = bytes
            .windows(KEY.len())
            .enumerate()
            .filter(|(_, window)| *window == KEY)
            .map(|(place, _)| place)
            .collect();
        Self { bytes, places }
    }

    /// Writes the request with that number into a buffer.
    pub(super) fn write(&self, number: u64, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.bytes);
        let key = format!("key-{number:012}");
        for place in &self.places {
            buffer[*place..place + KEY.len()].copy_from_slice(key.as_bytes());
        }
    }
}

/// The result.
pub(super) struct Outcome {
    /// How many were accepted, including warm-up.
    pub(super) taken: u64,
    /// The rate per second after warm-up.
    pub(super) rate: f64,
    /// The response times after warm-up in milliseconds, ascending.
    pub(super) times: Vec<f64>,
}

/// The state of a sender.
struct State {
    requests: Vec<Request>,
    next: Cell<u64>,
    begins: Instant,
    ends: Instant,
    times: RefCell<Vec<f64>>,
}

/// Sends pushes for projects 1 to `projects` in turn, as fast as they are accepted.
pub(super) fn run(
    address: SocketAddr,
    webhook: &Webhook,
    projects: i64,
    warm_up: Duration,
    lasting: Duration,
) -> Result<Outcome> {
    let requests = (1..=projects)
        .map(|project| Request::new(address, webhook, project))
        .collect();
    let runtime = Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, async {
        let begins = Instant::now() + warm_up;
        let state = Rc::new(State {
            requests,
            next: Cell::new(0),
            begins,
            ends: begins + lasting,
            times: RefCell::default(),
        });
        let tasks: Vec<_> = (0..CONNECTIONS)
            .map(|_| tokio::task::spawn_local(send(address, Rc::clone(&state))))
            .collect();
        for task in tasks {
            task.await.context("a connection ended")??;
        }
        let mut times = state.times.take();
        times.sort_unstable_by(f64::total_cmp);
        Ok(Outcome {
            taken: state.next.get(),
            rate: times.len() as f64 / lasting.as_secs_f64(),
            times,
        })
    })
}

async fn send(address: SocketAddr, state: Rc<State>) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    let mut reply = Vec::with_capacity(1024);
    loop {
        let begun = Instant::now();
        if begun >= state.ends {
            return Ok(());
        }
        let number = state.next.replace(state.next.get() + 1);
        let place = usize::try_from(number)? % state.requests.len();
        state.requests[place].write(number, &mut request);
        stream.write_all(&request).await?;
        reply.clear();
        while !answer::is_whole(&reply)? {
            let reading = timeout(PATIENCE, stream.read_buf(&mut reply));
            if reading.await.context("no answer")?? == 0 {
                bail!("the connection was closed");
            }
        }
        let ended = Instant::now();
        if begun >= state.begins && ended <= state.ends {
            let took = ended - begun;
            state.times.borrow_mut().push(took.as_secs_f64() * 1e3);
        }
    }
}

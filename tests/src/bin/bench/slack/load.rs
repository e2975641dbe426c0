//! The load: the same command again and again, on connections that stay open, each signed by itself: none counts as a replay.
//!
//! One thread does this for every contender. At a fixed rate each request is due at a certain time, whatever happened to the
//! previous ones, and its latency counts from then: a server that stalls is charged for everything that had to wait, where a
//! generator that waits for responses would have sent less (as wrk does, which has no rate).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer;
use super::placement::Core;

/// The maximum number of requests in flight.
pub(super) const CONNECTIONS: usize = 32;

/// Slack's timeout.
const PATIENCE: Duration = Duration::from_secs(3);

/// Makes the bytes of the next request.
pub(crate) type Requests = Arc<dyn Fn() -> Result<Vec<u8>> + Send + Sync>;

/// When the next request follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pace {
    /// As soon as the connection has its response.
    Greedy,
    /// This many per second, evenly spaced.
    PerSecond(f64),
}

/// The result.
pub(crate) struct Outcome {
    /// Responses per second.
    pub(super) rate: f64,
    /// The milliseconds from when each request was due to the end of its response, ascending.
    pub(super) times: Vec<f64>,
}

impl Outcome {
    /// The time within which this share of the responses arrived.
    pub(crate) fn percentile(&self, share: f64) -> f64 {
        let place = (self.times.len() as f64 * share) as usize;
        self.times.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// Sends requests for a while, from that core if one is given.
pub(crate) fn run(
    address: SocketAddr,
    requests: Requests,
    pace: Pace,
    lasting: Duration,
    core: Option<Core>,
) -> Result<Outcome> {
    let generating = || {
        if let Some(core) = core {
            core.hold_this_thread()?;
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, generate(address, requests, pace, lasting))
    };
    thread::scope(|scope| {
        let generator = scope.spawn(generating);
        generator
            .join()
            .map_err(|_| anyhow!("the generator ended"))?
    })
}

/// The next request.
struct Plan {
    begun: Instant,
    pace: Pace,
    lasting: Duration,
    next: Cell<u32>,
}

impl Plan {
    /// When the next request is due; None when the time is over. Connections ask in turn, so that a free one takes the request
    /// that has waited longest.
    fn due(&self) -> Option<Instant> {
        let due = match self.pace {
            Pace::Greedy => Instant::now(),
            Pace::PerSecond(rate) => {
                let number = self.next.replace(self.next.get() + 1);
                self.begun + Duration::from_secs_f64(f64::from(number) / rate)
            }
        };
        (due < self.begun + self.lasting).then_some(due)
    }
}

async fn generate(
    address: SocketAddr,
    requests: Requests,
    pace: Pace,
    lasting: Duration,
) -> Result<Outcome> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let plan = Rc::new(Plan {
        begun: Instant::now(),
        pace,
        lasting,
        next: Cell::new(0),
    });
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            tokio::task::spawn_local(connection(stream, Arc::clone(&requests), Rc::clone(&plan)))
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.context("a connection ended")??);
    }
    let rate = times.len() as f64 / plan.begun.elapsed().as_secs_f64();
    ensure!(!times.is_empty(), "nothing was answered");
    times.sort_unstable_by(f64::total_cmp);
    Ok(Outcome { rate, times })
}

async fn connection(mut stream: TcpStream, requests: Requests, plan: Rc<Plan>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut buffer = Vec::with_capacity(4096);
    while let Some(due) = plan.due() {
        if plan.pace != Pace::Greedy {
            sleep_until(due).await;
        }
        stream.write_all(&requests()?).await?;
        buffer.clear();
        while !answer::is_whole(&buffer)? {
            let reading = timeout(PATIENCE, stream.read_buf(&mut buffer));
            if reading.await.context("no answer in 3 s")?? == 0 {
                bail!("the connection was closed");
            }
        }
        times.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}

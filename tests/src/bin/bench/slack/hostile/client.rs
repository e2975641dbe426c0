//! Clients that go on until they are told to stop, whatever they are answered.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{sleep, timeout};

use super::kind::Kind;

/// How long one waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Between two bytes of those that are slow.
const DROP: Duration = Duration::from_millis(100);

/// Returns how many requests were sent.
pub(super) fn run(
    kind: Kind,
    address: SocketAddr,
    clients: usize,
    is_over: &AtomicBool,
) -> Result<usize> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let sent = Rc::new(Cell::new(0));
    LocalSet::new().block_on(&runtime, async {
        let request: Rc<[u8]> = kind.request(address).into();
        for client in 0..clients {
            let (request, sent) = (Rc::clone(&request), Rc::clone(&sent));
            spawn_local(async move {
                // Not all in the same moment.
                sleep(kind.pause() * client as u32 / clients as u32).await;
                loop {
                    sent.set(sent.get() + 1);
                    // They are refused and cut off, as they should be.
                    let _ = timeout(PATIENCE, once(kind, address, &request)).await;
                    sleep(kind.pause()).await;
                }
            });
        }
        while !is_over.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(20)).await;
        }
    });
    ensure!(sent.get() >= clients, "only {} requests", sent.get());
    Ok(sent.get())
}

async fn once(kind: Kind, address: SocketAddr, request: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    match kind {
        Kind::Slow => {
            let (begin, rest) = request.split_at(1 << 10);
            stream.write_all(begin).await?;
            for byte in rest {
                stream.write_all(&[*byte]).await?;
                sleep(DROP).await;
            }
        }
        Kind::Unread => loop {
            stream.write_all(request).await?;
        },
        _ => stream.write_all(request).await?,
    }
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(())
}

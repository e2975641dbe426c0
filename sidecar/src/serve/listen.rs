//! Connections: accepted, limited, and closed cleanly.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::error::Error;
use crate::http::Peer;

/// A client that has not sent a request's headers by then is disconnected.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// A client that reads nothing of a response for this long does not want it.
const READ_TIMEOUT: Duration = Duration::from_secs(10);

/// Real headers are much smaller; this limits the memory of a connection before its request is handled.
const LARGEST_HEAD: usize = 32 << 10;

/// More than Slack opens.
const MOST_CONNECTIONS: u64 = 4096;

/// The number of connections for health checks.
pub(super) const ADMIN_CONNECTIONS: usize = 64;

/// File descriptors for everything else: health checks, database sessions, calls to Slack, the log.
const OTHER_FILES: u64 = 320;

/// How many connections there may be without running out of file descriptors.
pub(super) fn most_connections() -> usize {
    let wanted = MOST_CONNECTIONS + OTHER_FILES;
    let files = rlimit::increase_nofile_limit(wanted).unwrap_or(1024);
    let connections = files
        .saturating_sub(OTHER_FILES)
        .clamp(64, MOST_CONNECTIONS);
    usize::try_from(connections).unwrap_or(usize::MAX)
}

/// How much of its answers the system keeps for a client that does not read them, in bytes. By itself it goes up to several megabytes, and
/// whoever sends requests without a pause would get as many of them answered.
const UNREAD: u32 = 128 << 10;

/// How many connections the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

pub(super) fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    let listening = || {
        let socket = match address {
            SocketAddr::V4(_) => TcpSocket::new_v4(),
            SocketAddr::V6(_) => TcpSocket::new_v6(),
        }?;
        socket.set_reuseaddr(true)?;
        // Connections inherit it.
        socket.set_send_buffer_size(UNREAD)?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listening().map_err(|source| Error::Listen { address, source })
}

pub(super) struct Listener {
    stop: CancellationToken,
    accepting: JoinHandle<GracefulShutdown>,
}

impl Listener {
    /// `places` belong to this listener: a full listener does not affect another one.
    pub(super) fn start(
        listener: TcpListener,
        router: Router,
        is_behind_proxy: bool,
        places: usize,
    ) -> Self {
        let stop = CancellationToken::new();
        let served = (router, is_behind_proxy);
        let places = Arc::new(Semaphore::new(places));
        let accepting = accept(listener, served, places, stop.clone());
        Self {
            stop,
            accepting: tokio::spawn(accepting),
        }
    }

    /// Accepts no more connections; returns when the last request has been answered.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        if let Ok(connections) = self.accepting.await {
            connections.shutdown().await;
        }
    }
}

async fn accept(
    listener: TcpListener,
    (router, is_behind_proxy): (Router, bool),
    places: Arc<Semaphore>,
    stop: CancellationToken,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    loop {
        let accepted = async {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            () = stop.cancelled() => return connections,
        };
        match accepted {
            Ok((stream, address)) => {
                let serving = Serving {
                    router: router.clone(),
                    connected: address.ip(),
                    is_behind_proxy,
                };
                let serving = connections.watch(connection(stream, serving));
                tokio::spawn(async move {
                    if let Err(error) = serving.await {
                        debug!(%error, "a connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Most likely there are no more file descriptors: some will be freed.
                warn!(%error, "a connection could not be accepted");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Passes the client address to the router.
#[derive(Clone)]
struct Serving {
    router: Router,
    connected: IpAddr,
    is_behind_proxy: bool,
}

impl Service<Request<Incoming>> for Serving {
    type Response = Response;
    type Error = Infallible;
    type Future = RouteFuture<Infallible>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let peer = Peer::of(self.connected, request.headers(), self.is_behind_proxy);
        request.extensions_mut().insert(peer);
        // A router is always ready.
        tower::Service::call(&mut self.router.clone(), request)
    }
}

fn connection(
    stream: TcpStream,
    serving: Serving,
) -> http1::Connection<TokioIo<Pin<Box<TimeoutStream<TcpStream>>>>, Serving> {
    // Responses are small and complete.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(READ_TIMEOUT));
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(LARGEST_HEAD)
        .serve_connection(TokioIo::new(Box::pin(stream)), serving)
}

#[cfg(test)]
mod tests {
    use std::io::{Error, Result};
    use std::net::SocketAddr;

    use axum::Router;
    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::Listener;

    async fn listen() -> Result<(Listener, SocketAddr)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let router = Router::new().route("/healthz", get(|| async { "ok" }));
        Ok((Listener::start(listener, router, false, 1), address))
    }

    async fn ask(address: SocketAddr) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(address).await?;
        let request = b"GET /healthz HTTP/1.1\r\nhost: it\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        Ok(stream)
    }

    async fn answer(mut stream: TcpStream) -> Result<String> {
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let is_it = answer.starts_with("HTTP/1.1 200 ");
        is_it
            .then_some(answer)
            .ok_or_else(|| Error::other("not ok"))
    }

    /// Whoever takes all places of one port takes none of the other's, and what waits is answered once there is a place.
    #[tokio::test]
    async fn ports_have_places_of_their_own() -> Result<()> {
        let (_admin, admin) = listen().await?;
        let (_public, public) = listen().await?;
        let silent = TcpStream::connect(admin).await?;
        let waiting = ask(admin).await?;
        answer(ask(public).await?).await?;
        drop(silent);
        answer(waiting).await?;
        Ok(())
    }
}

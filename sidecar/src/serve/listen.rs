//! Connections: taken, limited, and ended in good order.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tracing::{debug, warn};

use crate::error::Error;

/// A client that has not sent the head of a request by then is none; also how long a connection is kept without requests.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// More than Slack opens, and few enough not to run out of files.
const MOST_CONNECTIONS: usize = 4096;

pub(super) async fn bind(address: SocketAddr) -> Result<TcpListener, Error> {
    TcpListener::bind(address)
        .await
        .map_err(|source| Error::Listen { address, source })
}

pub(super) struct Listener {
    stop: oneshot::Sender<()>,
    accepting: JoinHandle<GracefulShutdown>,
}

impl Listener {
    pub(super) fn start(listener: TcpListener, router: Router) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self {
            stop,
            accepting: tokio::spawn(accept(listener, router, stopped)),
        }
    }

    /// Takes no more connections; answers when the last request is answered.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(());
        if let Ok(connections) = self.accepting.await {
            connections.shutdown().await;
        }
    }
}

async fn accept(
    listener: TcpListener,
    router: Router,
    mut stopped: oneshot::Receiver<()>,
) -> GracefulShutdown {
    let connections = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    loop {
        let accepted = async {
            // Never closed.
            let place = Arc::clone(&places).acquire_owned().await.ok();
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            accepted = accepted => accepted,
            _ = &mut stopped => return connections,
        };
        match accepted {
            Ok((stream, _)) => {
                let serving = connections.watch(connection(stream, router.clone()));
                tokio::spawn(async move {
                    if let Err(error) = serving.await {
                        debug!(%error, "a connection ended");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                // Most likely there are no more files: they come back.
                warn!(%error, "no connection was taken");
                sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

fn connection(
    stream: TcpStream,
    router: Router,
) -> http1::Connection<TokioIo<TcpStream>, TowerToHyperService<Router>> {
    // Answers are small and complete.
    let _ = stream.set_nodelay(true);
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

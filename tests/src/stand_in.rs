//! A stand-in's HTTP server on loopback, in its own thread, which can close a connection without a response.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use axum::Router;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::sync::oneshot;
use tower_service::Service;

/// Stops the server when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Port 0 means any free port.
    pub(crate) fn start(name: &'static str, router: Router, port: u16) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .with_context(|| format!("cannot listen on 127.0.0.1:{port}"))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    tokio::select! {
                        result = serve(listener, router) => {
                            if let Err(error) = result {
                                eprintln!("{name}: {error}");
                            }
                        }
                        _ = stopped => {}
                    }
                });
                // Open connections end with the runtime.
            })?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread may have ended by itself.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn serve(listener: TcpListener, router: Router) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let router = router.clone();
        tokio::spawn(async move {
            // axum::serve cannot close a connection without a response; a failing service can.
            let service = service_fn(move |request| {
                let mut router = router.clone();
                async move {
                    let Ok(response) = router.call(request).await;
                    match response.extensions().get::<HangUp>() {
                        Some(_) => Err(io::Error::other("closed on purpose")),
                        None => Ok(response),
                    }
                }
            });
            // Errors come from the other side, or from closing on purpose.
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Marks a response that must not be sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HangUp;

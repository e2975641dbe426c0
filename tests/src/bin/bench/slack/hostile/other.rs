//! Another server: it reads each request to its end, as fast as it comes, and answers that it was refused. What honest clients of the
//! sidecar notice of hostile ones that send to this server shows what the machine they share costs, roughly. It is no lower bound: a server that
//! limits what it reads and answers may cost the machine less.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;
use std::time::Duration;

use anyhow::Result;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};
use tokio::time::sleep;

/// After a connection that could not be accepted, as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// Its address; it runs until the bench ends.
pub(super) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    thread::spawn(move || {
        LocalSet::new().block_on(&runtime, async {
            let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
                return;
            };
            loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => {
                        eprintln!("bench: another server could not accept a connection: {error}");
                        sleep(PAUSE).await;
                        continue;
                    }
                };
                let serving = http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service_fn(refuse));
                spawn_local(async {
                    // They are cut off, as they should be.
                    let _ = serving.await;
                });
            }
        });
    });
    Ok(address)
}

async fn refuse(request: Request<Incoming>) -> hyper::Result<Response<String>> {
    let mut body = Box::pin(request.into_body());
    while let Some(frame) = std::future::poll_fn(|context| body.as_mut().poll_frame(context)).await
    {
        frame?;
    }
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::UNAUTHORIZED;
    Ok(response)
}

//! A server that does nothing: it reads each request to its end and answers that it was refused. What honest clients of the sidecar notice
//! of hostile ones that send to this server is the price of the machine they share.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::thread;

use anyhow::Result;
use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::runtime::Builder;
use tokio::task::{LocalSet, spawn_local};

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
            while let Ok((stream, _)) = listener.accept().await {
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

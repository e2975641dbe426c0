//! Our own requests, to one server each: its certificate is verified, redirects are not followed, and responses have limits of
//! time and size.

use std::time::Duration;

use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::timeout;
use url::Url;

use super::proxy::proxy_for;
use crate::error::Error;
use crate::tls;

/// Directly to the server, or through the proxy in HTTPS_PROXY, unless NO_PROXY names the server.
#[derive(Clone)]
enum Way {
    Direct(Client<HttpsConnector<HttpConnector>, Full<Bytes>>),
    Proxied(Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>),
}

#[derive(Clone)]
pub(crate) struct HttpClient(Way);

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ExchangeError {
    /// Nothing was sent.
    #[error("cannot connect: {0}")]
    Unreachable(String),

    /// It may have been processed or not.
    #[error("no answer: {0}")]
    Unanswered(String),

    #[error("no answer: it took too long")]
    TooSlow,

    #[error("too large an answer")]
    TooLarge,
}

impl HttpClient {
    /// `idle` is how long a connection is kept for the next request: less than the server keeps it, otherwise requests fail on
    /// closed connections.
    pub(crate) fn new(
        base: &Url,
        connect_timeout: Duration,
        idle: Duration,
    ) -> Result<Self, Error> {
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(connect_timeout));
        let tls = HttpsConnectorBuilder::new()
            .with_tls_config(tls::verifying()?)
            .https_or_http()
            .enable_http1();
        let mut client = Client::builder(TokioExecutor::new());
        client.pool_timer(TokioTimer::new()).pool_idle_timeout(idle);
        Ok(Self(match proxy_for(base)? {
            None => Way::Direct(client.build(tls.wrap_connector(connector))),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), connector);
                if let Some(credentials) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(credentials.clone());
                }
                Way::Proxied(client.build(tls.wrap_connector(tunnel)))
            }
        }))
    }

    pub(crate) async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
        largest: usize,
    ) -> Result<Answer, ExchangeError> {
        let answering = async {
            let answering = match &self.0 {
                Way::Direct(http) => http.request(request),
                Way::Proxied(http) => http.request(request),
            };
            let (head, body) = answering.await.map_err(unanswered)?.into_parts();
            let body = Limited::new(body, largest).collect().await;
            let body = body.map_err(|error| match error.is::<LengthLimitError>() {
                true => ExchangeError::TooLarge,
                false => ExchangeError::Unanswered(error.to_string()),
            })?;
            Ok(Answer {
                status: head.status,
                headers: head.headers,
                body: body.to_bytes(),
            })
        };
        let answered = timeout(patience, answering).await;
        answered.unwrap_or(Err(ExchangeError::TooSlow))
    }
}

/// The innermost cause: the outer ones only say that a request failed.
fn unanswered(error: hyper_util::client::legacy::Error) -> ExchangeError {
    let mut cause: &dyn std::error::Error = &error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    match error.is_connect() {
        true => ExchangeError::Unreachable(cause.to_string()),
        false => ExchangeError::Unanswered(cause.to_string()),
    }
}

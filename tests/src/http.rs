//! A small blocking HTTP client for loopback: every status is a response, redirects are not followed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::{Agent, Body};

/// A server's response.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    /// Names in lower case, in their original order.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        let found = headers.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body)
            .with_context(|| format!("{}: not JSON: {}", self.status, self.text()))
    }
}

/// A client with a timeout.
#[derive(Clone, Debug)]
pub struct Http {
    agent: Agent,
}

impl Http {
    /// Keeps connections open for the next request, like apps and Slack.
    pub fn new(patience: Duration) -> Self {
        let settings = Agent::config_builder()
            .timeout_global(Some(patience))
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            // HTTP_PROXY does not apply to loopback.
            .proxy(None)
            .build();
        Self {
            agent: settings.new_agent(),
        }
    }

    /// Sends a request with these headers and this body.
    pub fn send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Reply, ureq::Error> {
        let mut request = Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        // To HTTP an empty body is still a body: GET and DELETE are sent without one.
        let response = if body.is_empty() && matches!(method, "GET" | "DELETE" | "HEAD") {
            self.agent.run(request.body(())?)?
        } else {
            self.agent.run(request.body(body)?)?
        };
        read(response)
    }

    pub fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Reply> {
        self.send("GET", url, headers, b"")
            .with_context(|| format!("GET {url}"))
    }

    pub fn post_json(&self, url: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply> {
        let kind = ("content-type", "application/json; charset=utf-8");
        let headers: Vec<_> = headers.iter().copied().chain([kind]).collect();
        self.send("POST", url, &headers, body.to_string().as_bytes())
            .with_context(|| format!("POST {url}"))
    }

    pub fn post_form(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        fields: &[(&str, &str)],
    ) -> Result<Reply> {
        let kind = ("content-type", FORM);
        let headers: Vec<_> = headers.iter().copied().chain([kind]).collect();
        self.send("POST", url, &headers, form(fields).as_bytes())
            .with_context(|| format!("POST {url}"))
    }
}

pub const FORM: &str = "application/x-www-form-urlencoded";

/// Fields as a form body.
pub fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

/// Sends raw bytes, to test how a server handles invalid HTTP; returns everything it sends until it closes.
pub fn send_raw(address: SocketAddr, bytes: &[u8], patience: Duration) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(bytes)?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(answer)
}

fn read(response: Response<Body>) -> Result<Reply, ureq::Error> {
    let (parts, mut body) = response.into_parts();
    let headers = parts.headers.iter().map(|(name, value)| {
        let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
        (name.as_str().to_owned(), value)
    });
    Ok(Reply {
        status: parts.status.as_u16(),
        headers: headers.collect(),
        body: body.read_to_vec()?,
    })
}

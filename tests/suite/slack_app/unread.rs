//! Clients that read no answer.

use std::io::{ErrorKind, Write};
use std::net::TcpStream;

use anyhow::{Result, ensure};

use crate::concurrency::PATIENCE;
use crate::slack_app::Stage;

/// A client that sends requests and reads no response holds a connection for a while, not forever.
#[test]
fn who_does_not_read_is_hung_up_on() -> Result<()> {
    let stage = Stage::set("app_unread")?;
    let error = send_without_reading(&stage.sidecar.base, "/style.css")?;
    let hung_up = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
    ensure!(hung_up.contains(&error.kind()), "{error}");
    Ok(())
}

/// Until the server hangs up.
fn send_without_reading(base: &str, path: &str) -> Result<std::io::Error> {
    let address = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(address)?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\n\r\n").repeat(100);
    loop {
        if let Err(error) = stream.write_all(request.as_bytes()) {
            return Ok(error);
        }
    }
}

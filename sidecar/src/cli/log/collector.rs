//! Takes what is sent, for tests.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Its address, and the head and body of each request.
pub(super) fn start() -> std::io::Result<(String, Receiver<(String, String)>)> {
    refusing(0)
}

/// The same, once it has refused some.
pub(super) fn refusing(some: usize) -> std::io::Result<(String, Receiver<(String, String)>)> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let base = format!("http://{}", listener.local_addr()?);
    let (taken, requests) = channel();
    thread::spawn(move || {
        for (at, stream) in listener.incoming().flatten().enumerate() {
            let status = match at < some {
                true => "503 Service Unavailable",
                false => "200 OK",
            };
            let _ = take(stream, status).map(|request| taken.send(request));
        }
    });
    Ok((base, requests))
}

fn take(mut stream: TcpStream, status: &str) -> std::io::Result<(String, String)> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut head = String::new();
    while reader.read_line(&mut head)? > 2 {}
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        let is_it = name.eq_ignore_ascii_case("content-length");
        is_it.then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body)?;
    let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    stream.write_all(answer.as_bytes())?;
    Ok((head, String::from_utf8_lossy(&body).into_owned()))
}

//! Finds the end of a response: as much of HTTP/1.1 as two servers with small responses need.

use anyhow::{Context, Result, bail, ensure};

const END_OF_HEAD: &[u8] = b"\r\n\r\n";
const LAST_CHUNK: &[u8] = b"\r\n0\r\n\r\n";

/// Whether these bytes are a complete response. An error if it is not a response, or not a successful one.
pub(crate) fn is_whole(bytes: &[u8]) -> Result<bool> {
    let Some(end) = place(bytes, END_OF_HEAD) else {
        return Ok(false);
    };
    let (head, body) = (&bytes[..end], &bytes[end + END_OF_HEAD.len()..]);
    ensure!(
        head.starts_with(b"HTTP/1.1 200 "),
        "answered: {}",
        String::from_utf8_lossy(bytes)
    );
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some((name, value)) = line
            .iter()
            .position(|byte| *byte == b':')
            .map(|colon| (&line[..colon], line[colon + 1..].trim_ascii()))
        else {
            continue;
        };
        if name.eq_ignore_ascii_case(b"content-length") {
            let length: usize = str::from_utf8(value)?.parse().context("content-length")?;
            return Ok(body.len() >= length);
        }
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            return Ok(body.ends_with(LAST_CHUNK));
        }
    }
    bail!("no length of the body: {}", String::from_utf8_lossy(head))
}

fn place(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|part| part == wanted)
}

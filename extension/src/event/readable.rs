//! What is skipped here is not skipped by those who read an event as a whole when it is delivered, and one that they cannot read would be in
//! their way for ever. Neither levels nor halves of a character keep a text from being json in PostgreSQL's eyes.

/// Objects and lists within each other, at most: those who read the event as a whole later give up at 128.
const MOST_LEVELS: usize = 100;

/// Says what keeps others from reading the event.
pub(super) fn check_is_readable(text: &str) -> Result<(), String> {
    let opens = |byte: &u8| matches!(byte, b'[' | b'{');
    if text.bytes().filter(opens).count() > MOST_LEVELS && levels(text) > MOST_LEVELS {
        return Err(format!("more than {MOST_LEVELS} levels"));
    }
    if text.contains(r"\ud") || text.contains(r"\uD") {
        let read = serde_json::from_str::<serde_json::Value>(text);
        read.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn levels(text: &str) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let (mut in_text, mut is_escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = in_text,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' if !in_text => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

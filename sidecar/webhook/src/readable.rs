//! What is skipped here is not skipped by those who read an event as a whole when it is delivered, and one that they cannot read would be in
//! their way for ever. Neither levels nor halves of a character keep a text from being json in PostgreSQL's eyes.

use crate::trim::is_superfluous;

/// Objects and lists within each other, at most: those who read the event as a whole later give up at 128.
const MOST_LEVELS: usize = 100;

/// Says what keeps others from reading the event; else whether there is anything in it that is not to be kept.
pub fn check_is_readable(text: &str) -> Result<bool, String> {
    let shape = Shape::of(text);
    if shape.levels > MOST_LEVELS {
        return Err(format!("more than {MOST_LEVELS} levels"));
    }
    if let Some(number) = shape.too_large {
        let begin: String = number.chars().take(MOST_SHOWN).collect();
        return Err(format!("the number {begin} is too large"));
    }
    if text.contains(r"\ud") || text.contains(r"\uD") {
        let read = serde_json::from_str::<serde_json::Value>(text);
        read.map_err(|error| error.to_string())?;
    }
    Ok(shape.has_superfluous)
}

/// Of a number in a message.
const MOST_SHOWN: usize = 20;
/// A number of fewer digits without an exponent is none too large.
const FEW_DIGITS: usize = 300;

/// What can be seen of a text without reading it.
#[derive(Default)]
struct Shape<'a> {
    levels: usize,
    too_large: Option<&'a str>,
    has_superfluous: bool,
}

impl<'a> Shape<'a> {
    fn of(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let mut shape = Self::default();
        let (mut level, mut place) = (0_usize, 0);
        while let Some(byte) = bytes.get(place) {
            match byte {
                b'"' => {
                    let end = end_of_string(bytes, place);
                    let string = bytes.get(place + 1..end).unwrap_or_default();
                    let rest = bytes.get(end + 1..).unwrap_or_default();
                    shape.has_superfluous |= is_superfluous(string, rest);
                    place = end;
                }
                b'0'..=b'9' => {
                    let number = number_at(text, place);
                    place += number.len();
                    if is_too_large(number) {
                        shape.too_large = Some(number);
                    }
                    continue;
                }
                b'[' | b'{' => {
                    level += 1;
                    shape.levels = shape.levels.max(level);
                }
                b']' | b'}' => level = level.saturating_sub(1),
                _ => {}
            }
            place += 1;
        }
        shape
    }
}

/// Where the quote is that ends it.
fn end_of_string(bytes: &[u8], begin: usize) -> usize {
    let mut place = begin + 1;
    while let Some(byte) = bytes.get(place) {
        match byte {
            b'"' => break,
            b'\\' => place += 2,
            _ => place += 1,
        }
    }
    place
}

fn number_at(text: &str, begin: usize) -> &str {
    let rest = text.get(begin..).unwrap_or_default();
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    let length = rest.bytes().take_while(|byte| is_part(byte)).count();
    rest.get(..length).unwrap_or(rest)
}

fn is_too_large(number: &str) -> bool {
    let is_plain = number.len() < FEW_DIGITS && !number.contains(['e', 'E']);
    !is_plain && !number.parse::<f64>().is_ok_and(f64::is_finite)
}

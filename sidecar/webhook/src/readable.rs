//! Parts that are skipped here are still parsed when an event is delivered, and an unparsable event would block its channel
//! forever. PostgreSQL's json accepts deep nesting and unpaired surrogates, so they are checked here.

use crate::trim::is_superfluous;

/// The maximum nesting of objects and lists: later parsers give up at 128.
const MOST_LEVELS: usize = 100;

/// Returns an error if the event cannot be parsed later; otherwise whether it contains anything that must not be stored.
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
/// A number with fewer digits and no exponent is never too large.
const FEW_DIGITS: usize = 300;

/// What can be seen of a text without parsing it.
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

/// The position of the closing quote.
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

//! The words of a line, and the values of a word.

use std::borrow::Cow;

/// Around a value with spaces or commas. Slack makes curved ones of those that are typed.
const QUOTES: [char; 4] = ['"', '“', '”', '„'];

/// The words of a line, which are separated by spaces or commas: `push,branches=main,dev` is an event, and a condition with two
/// values.
pub(crate) fn words(line: &str) -> impl Iterator<Item = &str> {
    let is_between = |letter: char| letter == ',' || letter.is_whitespace();
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(is_between);
        let (word, more) = rest.split_at(end_of_word(rest));
        rest = more;
        (!word.is_empty()).then_some(word)
    })
}

/// A comma ends an event or a channel, but not a condition.
fn end_of_word(text: &str) -> usize {
    let is_channel = text.starts_with('#');
    let (mut has_values, mut begins, mut is_quoted, mut is_escaped) = (false, false, false, false);
    for (place, letter) in text.char_indices() {
        match letter {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            _ if is_quoted => is_quoted = !QUOTES.contains(&letter),
            _ if letter.is_whitespace() => return place,
            ',' if !has_values => return place,
            '=' if !has_values && !is_channel => {
                has_values = true;
                begins = true;
                continue;
            }
            _ => is_quoted = begins && QUOTES.contains(&letter),
        }
        begins = letter == ',';
    }
    text.len()
}

/// The values between commas; none if a quotation mark is missing.
pub(super) fn values(mut text: &str) -> Option<Vec<Cow<'_, str>>> {
    let mut values = Vec::new();
    loop {
        let (value, rest) = match text.strip_prefix(QUOTES) {
            Some(quoted) => unquoted(quoted)?,
            None => {
                let (value, rest) = text.split_at(text.find(',').unwrap_or(text.len()));
                (Cow::Borrowed(value), rest)
            }
        };
        values.push(value);
        match rest.strip_prefix(',') {
            Some(more) => text = more,
            None => return rest.is_empty().then_some(values),
        }
    }
}

/// The text before the next quotation mark, and what follows that.
fn unquoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = String::new();
    let mut letters = text.chars();
    loop {
        match letters.next()? {
            '\\' => {
                let next = letters.clone().next()?;
                match next == '\\' || QUOTES.contains(&next) {
                    true => value.extend(letters.next()),
                    // As in a pattern.
                    false => value.push('\\'),
                }
            }
            letter if QUOTES.contains(&letter) => return Some((value.into(), letters.as_str())),
            letter => value.push(letter),
        }
    }
}

/// In quotation marks if it has to be.
pub(super) fn quoted(value: &str) -> Cow<'_, str> {
    let ends_value = |letter: char| letter == ',' || letter.is_whitespace();
    if !value.contains(ends_value) && !value.starts_with(QUOTES) {
        return value.into();
    }
    let mut text = String::from('"');
    for letter in value.chars() {
        if letter == '\\' || QUOTES.contains(&letter) {
            text.push('\\');
        }
        text.push(letter);
    }
    text.push('"');
    text.into()
}

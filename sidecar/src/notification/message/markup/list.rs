//! Lists: as many items as fit, and how many more there are.

use super::user_text::{NAME, line};

/// The maximum number of items shown.
pub(in crate::notification::message) const MOST: usize = 10;

/// The longest text for the number of remaining items.
const MORE: usize = 40;

/// Items of markup, none of them cut, within a number of characters. `in_all` may be larger than the number of given items.
pub(in crate::notification::message) fn listed(
    items: impl IntoIterator<Item = String>,
    separator: &str,
    in_all: usize,
    room: usize,
) -> String {
    let mut list = String::new();
    let mut length = MORE;
    let mut shown = 0;
    for item in items.into_iter().take(MOST) {
        length += item.chars().count() + separator.len();
        if length > room {
            break;
        }
        if shown > 0 {
            list.push_str(separator);
        }
        list.push_str(&item);
        shown += 1;
    }
    if in_all > shown {
        let more = in_all - shown;
        list.push_str(&match (shown, separator) {
            (0, _) => format!("{more} of them"),
            (_, "\n") => format!("\nand {more} more"),
            _ => format!(" and {more} more"),
        });
    }
    list
}

/// Names after our own words, if there are any.
pub(in crate::notification::message) fn named<'a>(
    words: &str,
    names: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let names: Vec<String> = names
        .map(|name| line(name, NAME))
        .filter(|name| !name.is_empty())
        .collect();
    let number = names.len();
    (number > 0).then(|| {
        format!(
            "{words}{}",
            listed(names.into_iter().take(5), ", ", number, 600)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::listed;

    fn letters(number: usize) -> impl Iterator<Item = String> {
        (0..number).map(|_| "x".repeat(10))
    }

    #[test]
    fn lists_end_with_how_many_more_there_are() {
        let x = "x".repeat(10);
        assert_eq!(listed(letters(0), ", ", 0, 100), "");
        assert_eq!(listed(letters(2), ", ", 2, 100), format!("{x}, {x}"));
        assert_eq!(
            listed(letters(2), "\n", 30, 100),
            format!("{x}\n{x}\nand 28 more")
        );
        assert_eq!(
            listed(letters(9), ", ", 9, 70),
            format!("{x}, {x} and 7 more")
        );
        assert_eq!(listed(letters(9), ", ", 9, 20), "9 of them");
        assert!(listed(letters(11), ", ", 11, 1_000).ends_with(" and 1 more"));
    }
}

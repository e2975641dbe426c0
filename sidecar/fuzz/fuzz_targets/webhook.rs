//! Any published event can be parsed, or is refused; and what is accepted can be parsed later, as received and as stored.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lockstep_webhook::{Event, check_is_readable, trimmed};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let read = Event::read(text).map(|event| format!("{event:?}"));
    let readable = check_is_readable(text);
    let whole = serde_json::from_str::<Value>(text);
    if let Ok(whole) = &whole {
        let _ = Event::of(whole).project();
    }
    if let (Ok(read), Ok(_)) = (read, readable) {
        let whole = whole.expect("what is taken can be read");
        assert_eq!(format!("{:?}", Event::of(&whole)), read);
        assert!(check_is_readable(&trimmed(text)).is_ok());
    }
});

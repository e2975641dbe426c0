//! Slack's own Python library agrees with us on signatures, and with the fake on blocks.

use std::io::{Write, stderr};

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::caller::sign;
use lockstep_tests::virtual_environment::VirtualEnvironment;
use serde_json::{Value, json};

use crate::random::plan::Dice;
use crate::random::seed;
use crate::slack_fake::block::{LIMITS, plain};
use crate::slack_fake::home;

/// What the library does not check, so that it accepts what Slack rejects.
const UNCHECKED: [&str; 4] = ["section field", "option text", "option value", "checkboxes"];

/// A text of any UTF-8 characters, including line ends and zero bytes.
fn text(dice: &mut Dice, longest: u64) -> String {
    let length = dice.below(longest);
    let letter = |dice: &mut Dice| {
        let limit = dice.one_of(&[0x80, 0x80, 0x800, 0x1_0000, 0x11_0000]);
        // Surrogates are not characters.
        let number = u32::try_from(dice.below(limit)).unwrap_or_default();
        char::from_u32(number).unwrap_or('\u{fffd}')
    };
    (0..length).map(|_| letter(dice)).collect()
}

#[test]
fn signatures_are_the_librarys() -> Result<()> {
    let seed = seed()?;
    writeln!(stderr(), "slack_sdk: LOCKSTEP_SEED={seed}")?;
    let mut dice = Dice::new(seed, 0);
    let mut inputs = Vec::new();
    let mut ours = Vec::new();
    for _ in 0..500 {
        let secret = format!("s{}", text(&mut dice, 40));
        let timestamp = dice.below(4_000_000_000).to_string();
        let body = text(&mut dice, 300);
        ours.push(sign(&secret, &timestamp, body.as_bytes()));
        inputs.push(json!({ "secret": secret, "timestamp": timestamp, "body": body }));
    }
    let theirs = VirtualEnvironment::shared()?.run("sign.py", &inputs)?;
    for (input, (ours, theirs)) in inputs.iter().zip(ours.iter().zip(&theirs)) {
        ensure!(
            ours == theirs,
            "LOCKSTEP_SEED={seed}: {input}: {ours}, {theirs}"
        );
    }
    Ok(())
}

/// The library's findings for each input.
pub(crate) fn found(inputs: &[Value]) -> Result<Vec<Vec<String>>> {
    let answers = VirtualEnvironment::shared()?.run("verify.py", inputs)?;
    answers
        .iter()
        .map(|answer| serde_json::from_str(answer).with_context(|| answer.clone()))
        .collect()
}

#[test]
fn limits_of_blocks_are_the_librarys() -> Result<()> {
    let message = |block: Value| json!({ "kind": "blocks", "value": [block] });
    let at: Vec<_> = LIMITS
        .iter()
        .map(|(_, most, block)| message(block(*most)))
        .collect();
    let beyond: Vec<_> = LIMITS
        .iter()
        .map(|(_, most, block)| message(block(*most + 1)))
        .collect();
    let (at, beyond) = (found(&at)?, found(&beyond)?);
    let mut unchecked = Vec::new();
    for ((name, _, _), (at, beyond)) in LIMITS.iter().zip(at.iter().zip(&beyond)) {
        ensure!(at.is_empty(), "{name}: {at:?}");
        if beyond.is_empty() {
            unchecked.push(*name);
        }
    }
    // A newer library may check more: then the list is too long.
    assert_eq!(unchecked, UNCHECKED);
    Ok(())
}

#[test]
fn views_are_checked_by_the_library() -> Result<()> {
    let modal = |title| json!({ "type": "modal", "title": plain(title), "blocks": [{ "type": "divider" }] });
    let wrong_blocks =
        json!({ "type": "home", "blocks": [{ "type": "divider", "colour": "red" }] });
    let inputs = [
        json!({ "kind": "home", "value": home() }),
        json!({ "kind": "modal", "value": modal(24) }),
        json!({ "kind": "modal", "value": modal(25) }),
        json!({ "kind": "home", "value": wrong_blocks }),
        json!({ "kind": "blocks", "value": [{ "type": "dividing" }] }),
    ];
    let wrong: Vec<_> = found(&inputs)?
        .iter()
        .map(|found| !found.is_empty())
        .collect();
    assert_eq!(wrong, [false, false, true, true, true]);
    Ok(())
}

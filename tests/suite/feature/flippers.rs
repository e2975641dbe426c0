//! The same answers as Flipper's rules give.

use std::collections::HashMap;

use anyhow::{Result, ensure};

use super::flags;
use crate::service_account::number;

/// zlib's checksum, bit by bit.
fn crc32(text: &str) -> u32 {
    let mut sum = u32::MAX;
    for byte in text.bytes() {
        sum ^= u32::from(byte);
        for _ in 0..8 {
            sum = match sum & 1 {
                0 => sum >> 1,
                _ => (sum >> 1) ^ 0xEDB8_8320,
            };
        }
    }
    !sum
}

/// A generator of numbers that can be replayed with a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn answers_are_flippers_for_100_000_triples() -> Result<()> {
    let seed = std::env::var("SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| u64::from(std::process::id()));
    println!("SEED={seed}");
    let mut random = Random(seed);
    let mut client = flags("feature_triples")?;
    assert_eq!(crc32("some_featureUser:1"), 4_054_109_890);
    assert_eq!(crc32("some_featureGroup:1"), 2_227_455_842);
    // 200 flags with 500 actors each; percentages with no, few and three decimals.
    let mut percentages: HashMap<String, f64> = HashMap::new();
    for number in 0..200 {
        let name = format!("flag_{number}_{}é", random.below(1_000_000));
        let percentage = match random.below(3) {
            0 => random.below(101).to_string(),
            1 => format!("{}.{}", random.below(100), random.below(10)),
            _ => format!("{}.{:03}", random.below(100), random.below(1_000)),
        };
        client.execute(
            "select lockstep.set_feature_percentage($1, $2::text::numeric)",
            &[&name, &percentage],
        )?;
        percentages.insert(name, percentage.parse()?);
    }
    let classes = ["User", "Project", "Group", "Ci::Runner", "FlipperRequest"];
    let mut asked = 0;
    let mut open = 0;
    for (name, percentage) in &percentages {
        let actors: Vec<String> = (0..500)
            .map(|_| {
                let class = classes[random.below(classes.len() as u64) as usize];
                format!("{class}:{}", random.below(10_000_000))
            })
            .collect();
        let rows = client.query(
            "select a, lockstep.feature_enabled($1, a) from unnest($2::text[]) a",
            &[name, &actors],
        )?;
        for row in rows {
            let actor: &str = row.get(0);
            let share = crc32(&format!("{name}{actor}")) % 100_000;
            let expected = f64::from(share) < percentage * 1_000.0;
            ensure!(
                row.get::<_, bool>(1) == expected,
                "{name} at {percentage} % for {actor}: not {expected}"
            );
            asked += 1;
            open += i32::from(expected);
        }
    }
    assert_eq!(asked, 100_000);
    assert!((20_000..80_000).contains(&open), "{open} of {asked}");
    Ok(())
}

#[test]
fn a_percentage_of_the_time_is_about_that() -> Result<()> {
    let mut client = flags("feature_time")?;
    client.batch_execute(
        "select setseed(0.5); select lockstep.set_feature_percentage('f', 12.5, 'time')",
    )?;
    let open = number(
        &mut client,
        "select count(*) filter (where lockstep.feature_enabled('f', 'User:' || n)) from generate_series(1, 40000) n",
    )?;
    // Four standard deviations.
    assert!((4_736..=5_264).contains(&open), "{open} of 40000");
    Ok(())
}

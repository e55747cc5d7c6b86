//! Sizes, rates and durations as people write and read them.
//!
//! `16MiB`, `1GB`, `512k` and plain bytes; `90s`, `1h30m`. Used by the flags (parsing) and by everything printed.

use std::time::Duration;

/// Suffixes of sizes in bytes. A bare letter counts in 1024s, as `wget --limit-rate` does.
const SIZES: [(&str, u64); 13] = [
    ("kib", 1 << 10),
    ("mib", 1 << 20),
    ("gib", 1 << 30),
    ("tib", 1 << 40),
    ("kb", 1_000),
    ("mb", 1_000_000),
    ("gb", 1_000_000_000),
    ("tb", 1_000_000_000_000),
    ("k", 1 << 10),
    ("m", 1 << 20),
    ("g", 1 << 30),
    ("t", 1 << 40),
    ("b", 1),
];

/// Units of time in milliseconds; the first match from the front wins, so `ms` stands before `m`.
const TIMES: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a size in bytes: `16MiB`, `1.5GB`, `512k`, `1048576`.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let lower = text.trim().to_ascii_lowercase();
    let split = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, suffix) = lower.split_at(split);
    let suffix = suffix.trim();
    let unit = match suffix {
        "" => Some(1),
        _ => SIZES.iter().find(|(name, _)| *name == suffix).map(|(_, unit)| *unit),
    };
    let complaint = || format!("`{text}` is not a size; write for example 16MiB, 1GB or 1048576");
    scaled(number, unit.ok_or_else(complaint)?).ok_or_else(complaint)
}

/// Reads a rate in bytes per second: a size, with or without `/s`.
pub(crate) fn parse_rate(text: &str) -> Result<u64, String> {
    match parse_size(text.trim().trim_end_matches("/s")) {
        Ok(0) => Err("a limit of 0 would stop all transfer; leave the flag out for no limit".to_owned()),
        Ok(rate) => Ok(rate),
        Err(_) => Err(format!("`{text}` is not a rate; write for example 500KiB or 2MB (per second)")),
    }
}

/// Reads a duration: `90s`, `2h`, `1h30m`, `500ms`; a plain number counts seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let complaint = || format!("`{text}` is not a duration; write for example 90s, 10m or 2h");
    let mut rest = text.trim();
    if let Ok(seconds) = rest.parse::<u32>() {
        return Ok(Duration::from_secs(seconds.into()));
    }
    let mut total = 0u64;
    while !rest.is_empty() {
        let split = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(complaint)?;
        let (number, tail) = rest.split_at(split);
        let (unit_name, unit) =
            TIMES.iter().find(|(name, _)| tail.starts_with(name)).ok_or_else(complaint)?;
        let part = scaled(number, *unit).ok_or_else(complaint)?;
        total = total.checked_add(part).ok_or_else(complaint)?;
        rest = &tail[unit_name.len()..];
    }
    if text.trim().is_empty() { Err(complaint()) } else { Ok(Duration::from_millis(total)) }
}

/// `number` (digits, perhaps one point) times `unit`, exact for whole numbers.
fn scaled(number: &str, unit: u64) -> Option<u64> {
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(unit);
    }
    let (whole, fraction) = number.split_once('.')?;
    if fraction.is_empty() || fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = u128::from(fraction.parse::<u64>().ok()?);
    let part = digits * u128::from(unit) / 10u128.pow(u32::try_from(fraction.len()).ok()?);
    whole.checked_mul(unit)?.checked_add(u64::try_from(part).ok()?)
}

/// A size for people: `4 MiB` when exact, `4.10 GiB` otherwise, `17 bytes` when small.
pub(crate) fn size(bytes: u64) -> String {
    let (divisor, unit) = unit_of(bytes);
    match (divisor, bytes) {
        (1, 1) => "1 byte".to_owned(),
        (1, _) => format!("{bytes} bytes"),
        _ if bytes.is_multiple_of(divisor) => format!("{} {unit}", count(bytes / divisor)),
        _ => format!("{:.2} {unit}", ratio(bytes, divisor)),
    }
}

/// How much of a whole is done, in the whole's unit: `2.54/4.10 GiB`.
pub(crate) fn part(done: u64, total: u64) -> String {
    let (divisor, unit) = unit_of(total);
    if divisor == 1 {
        return format!("{done}/{total} bytes");
    }
    format!("{:.2}/{:.2} {unit}", ratio(done, divisor), ratio(total, divisor))
}

/// A rate for people: `88.1 MiB/s`.
pub(crate) fn rate(bytes_per_second: u64) -> String {
    let (divisor, unit) = unit_of(bytes_per_second);
    if divisor == 1 {
        return format!("{bytes_per_second} B/s");
    }
    format!("{:.1} {unit}/s", ratio(bytes_per_second, divisor))
}

/// A duration for people: `0.4s`, `47s`, `3m 05s`, `2h 10m`, `3d 4h`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", time.as_secs_f64()),
        10..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// A number with thousands set apart: `1,050`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun: `1 file`, `212 files`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{} {noun}s", count(number)) }
}

/// Whole per cent of `total`, 100 only when all is done.
pub(crate) fn percent(done: u64, total: u64) -> u64 {
    if total == 0 {
        return 100;
    }
    u64::try_from(u128::from(done) * 100 / u128::from(total)).unwrap_or(100)
}

fn unit_of(bytes: u64) -> (u64, &'static str) {
    match bytes {
        0..1_024 => (1, "bytes"),
        1_024..1_048_576 => (1 << 10, "KiB"),
        1_048_576..1_073_741_824 => (1 << 20, "MiB"),
        1_073_741_824..1_099_511_627_776 => (1 << 30, "GiB"),
        _ => (1 << 40, "TiB"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "shown with two decimals")]
fn ratio(bytes: u64, divisor: u64) -> f64 {
    bytes as f64 / divisor as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("16MiB", 16 << 20),
            ("1GB", 1_000_000_000),
            ("1.5 GiB", 3 << 29),
            ("200k", 200 << 10),
            ("0.1MB", 100_000),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "MiB", "1.MiB", "1..2k", "-1", "1 parsec", "99999999999TiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn rates_may_say_per_second_and_never_are_zero() {
        assert_eq!(parse_rate("2MiB/s"), Ok(2 << 20));
        assert_eq!(parse_rate("500k"), Ok(500 << 10));
        assert!(parse_rate("0").is_err());
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        for (text, ms) in [
            ("90s", 90_000),
            ("2h", 7_200_000),
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("7", 7_000),
            ("1.5s", 1_500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in ["", "s", "1x", "1h30"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_are_printed_for_people() {
        assert_eq!(size(17), "17 bytes");
        assert_eq!(size(4 << 20), "4 MiB");
        assert_eq!(size(4_402_341_478), "4.10 GiB");
        assert_eq!(part(2_728_394_752, 4_402_341_478), "2.54/4.10 GiB");
        assert_eq!(rate(92_379_021), "88.1 MiB/s");
        assert_eq!(count(1_050), "1,050");
        assert_eq!(count(999), "999");
        assert_eq!(plural(1, "file"), "1 file");
        assert_eq!(duration(Duration::from_secs(185)), "3m 05s");
        assert_eq!(percent(999, 1_000), 99);
    }
}

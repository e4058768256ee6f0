//! Sizes and durations for people.

use std::time::Duration;

/// Bytes in decimal units, as a file manager shows them: `83.4 MB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1_000 {
        return format!("{count} B");
    }
    let mut value = count;
    let mut unit = 0;
    while value >= 999_950 && unit < UNITS.len() - 1 {
        value /= 1_000;
        unit += 1;
    }
    format!("{}.{} {}", (value + 50) / 1_000, (value + 50) % 1_000 / 100, UNITS[unit])
}

/// A duration with two or three digits: `9 ms`, `1.24 s`, `2 min 5 s`.
pub fn duration(time: Duration) -> String {
    let millis = time.as_millis();
    match millis {
        0 => "<1 ms".to_owned(),
        1..1_000 => format!("{millis} ms"),
        1_000..60_000 => format!("{}.{:02} s", millis / 1_000, millis % 1_000 / 10),
        _ => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1_000),
    }
}

/// `1 file`, `2 files`.
pub fn count(number: usize, singular: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {singular}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_for_people() {
        for (n, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1_000, "1.0 kB"),
            (83_400_000, "83.4 MB"),
            (999_999, "1.0 MB"),
            (262_144_000, "262.1 MB"),
            (5_000_000_000, "5.0 GB"),
        ] {
            assert_eq!(bytes(n), text);
        }
        for (ms, text) in [(9, "9 ms"), (1_240, "1.24 s"), (125_000, "2 min 5 s")] {
            assert_eq!(duration(Duration::from_millis(ms)), text);
        }
        assert_eq!((count(1, "file"), count(2, "file")), ("1 file".into(), "2 files".into()));
    }
}

//! The machine that it runs on, as far as an ordinary process may see it.

use std::fs;

/// What there is to know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// Memory that this process has, in bytes.
    pub resident: Option<u64>,
    /// How warm the processor is, in degrees Celsius.
    pub celsius: Option<i64>,
}

/// Reads it. What a machine does not tell is left out.
#[must_use]
pub fn read() -> Machine {
    Machine {
        resident: fs::read_to_string("/proc/self/status").ok().as_deref().and_then(resident),
        celsius: fs::read_to_string("/sys/class/thermal/thermal_zone0/temp")
            .ok()
            .as_deref()
            .and_then(celsius),
    }
}

/// `VmRSS:   12345 kB`
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kilobytes.checked_mul(1024)
}

/// Thousandths of a degree; what no processor survives is no temperature.
fn celsius(text: &str) -> Option<i64> {
    let thousandths: i64 = text.trim().parse().ok()?;
    Some(thousandths / 1000).filter(|degrees| (-60..200).contains(degrees))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_files_say() {
        assert_eq!(resident("Name:\tpostern\nVmRSS:\t   12 kB\nThreads:\t3\n"), Some(12 * 1024));
        for odd in ["", "VmRSS:", "VmRSS: x kB", "VmRSS: 12", "VmRSS: 18446744073709551615 kB"] {
            assert_eq!(resident(odd), None, "{odd}");
        }
        assert_eq!((celsius("47200\n"), celsius("x"), celsius("999999999")), (Some(47), None, None));
        assert!(read().resident.is_some_and(|bytes| bytes > 1 << 20));
    }
}

// A handler as one may be written: it takes an event apart, sorts, counts and prints.
use std::collections::BTreeMap;
use std::io::{self, Read, Write};

fn main() {
    let mut event = String::new();
    io::stdin().read_to_string(&mut event).unwrap();
    let mut counts: BTreeMap<String, (u32, f64)> = BTreeMap::new();
    let mut rest = event.as_str();
    while let Some(start) = rest.find('"') {
        rest = &rest[start + 1..];
        let end = match rest.find('"') {
            Some(end) => end,
            None => break,
        };
        let key = rest[..end].to_lowercase();
        rest = &rest[end + 1..];
        let entry = counts.entry(key).or_insert((0, 0.0));
        entry.0 += 1;
        if let Some(after) = rest.strip_prefix(':') {
            let n = after.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-')).unwrap_or(after.len());
            entry.1 += after[..n].parse::<f64>().unwrap_or(0.0);
        }
    }
    let out: Vec<String> = counts.iter().map(|(k, (n, sum))| format!("\"{}\":[{},{:.3}]", k, n, sum)).collect();
    io::stdout().write_all(format!("{{{}}}", out.join(",")).as_bytes()).unwrap();
}

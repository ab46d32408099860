//! Counts the lines of a file as fast as memory allows: what `benches/compare` measures programs
//! against that do more.

use std::error::Error;
use std::fs::File;
use std::io::{Read as _, Write as _};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).ok_or("usage: split_lines FILE")?;
    let mut file = File::open(path)?;
    let mut block = vec![0; 256 << 10];
    let (mut lines, mut longest, mut carried) = (0u64, 0usize, 0usize);
    loop {
        let read = file.read(&mut block)?;
        if read == 0 {
            break;
        }
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &block[..read]) {
            lines += 1;
            longest = longest.max(carried + end - start);
            (start, carried) = (end + 1, 0);
        }
        carried += read - start;
    }
    writeln!(std::io::stdout(), "{lines} lines, the longest has {longest} bytes")?;
    Ok(())
}

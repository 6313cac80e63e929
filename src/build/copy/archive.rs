//! Archives that `ADD` unpacks: told by their content, whatever they are called.

use std::io::{self, BufReader, Cursor, Read};

const BLOCK: usize = 512;
const BUFFER: usize = 128 << 10;

/// The plain tar archive in a file, if there is one: alone, or packed with gzip, bzip2, xz or zstd.
///
/// # Errors
/// When the file cannot be read. One that only looks packed is no archive.
pub(in crate::build) fn open<'a>(
    mut file: impl Read + 'a,
) -> io::Result<Option<Box<dyn Read + 'a>>> {
    let mut start = [0; 6];
    let count = fill(&mut file, &mut start)?;
    let magic = start;
    let all = Cursor::new(start[..count].to_vec()).chain(file);
    let all = BufReader::with_capacity(BUFFER, all);
    let mut plain: Box<dyn Read + 'a> = match magic {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(all)),
        [b'B', b'Z', b'h', ..] => Box::new(bzip2::bufread::MultiBzDecoder::new(all)),
        [0xfd, b'7', b'z', b'X', b'Z', 0] => Box::new(lzma_rust2::XzReader::new(all, true)),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => match zstd::stream::read::Decoder::with_buffer(all) {
            Ok(decoder) => Box::new(decoder),
            Err(_) => return Ok(None),
        },
        _ => Box::new(all),
    };
    let mut block = [0; BLOCK];
    // Something that cannot be unpacked is a file like any other.
    let Ok(count) = fill(&mut plain, &mut block) else {
        return Ok(None);
    };
    if count < BLOCK || !is_header(&block) {
        return Ok(None);
    }
    Ok(Some(Box::new(Cursor::new(block.to_vec()).chain(plain))))
}

fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// Whether a block is the header of a tar archive: its checksum is right, and it has a name.
fn is_header(block: &[u8; BLOCK]) -> bool {
    let header = tar::Header::from_byte_slice(block);
    let sum: u32 = block
        .iter()
        .enumerate()
        .map(|(at, byte)| {
            if (148..156).contains(&at) {
                32
            } else {
                u32::from(*byte)
            }
        })
        .sum();
    block[0] != 0 && header.cksum().is_ok_and(|said| said == sum)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::{Command, Stdio};

    use super::*;

    fn tar() -> Vec<u8> {
        let mut archive = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        header.set_mode(0o644);
        archive
            .append_data(&mut header, "file", &b"abc"[..])
            .unwrap();
        archive.into_inner().unwrap()
    }

    fn packed(program: &str, bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        child.wait_with_output().unwrap().stdout
    }

    #[test]
    fn archives_are_told_by_their_content() {
        let plain = tar();
        for program in ["gzip", "bzip2", "xz", "zstd"] {
            let mut found = Vec::new();
            let file = packed(program, &plain);
            let mut archive = open(&file[..]).unwrap().expect(program);
            archive.read_to_end(&mut found).unwrap();
            assert!(found == plain, "{program}");
        }
        let mut found = Vec::new();
        open(&plain[..])
            .unwrap()
            .unwrap()
            .read_to_end(&mut found)
            .unwrap();
        assert!(found == plain);
    }

    #[test]
    fn other_files_are_none() {
        let long = vec![0; 2000];
        let text = packed("gzip", b"no archive");
        for bytes in [&b""[..], b"short", &long, b"\x1f\x8bnot gzip", &text] {
            assert!(open(bytes).unwrap().is_none(), "{bytes:?}");
        }
    }
}

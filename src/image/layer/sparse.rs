//! Sparse files: where in the file the stored bytes belong.

use std::io::Read;

use tar::{GnuExtSparseHeader, GnuSparseHeader};

use super::error::ArchiveError;
use super::pax::number;

/// More pieces than this make a map that is only there to eat memory.
const SEGMENTS_MAX: usize = 1 << 18;
const BLOCK: usize = 512;

/// A piece of a file that is stored in the archive; what lies between is zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(super) offset: u64,
    pub(super) length: u64,
}

/// Takes a map only if its pieces are in order, do not overlap, lie within the file, and need just
/// the bytes that are stored.
pub(super) fn check(map: &[Segment], real_size: u64, stored: u64) -> Result<(), ArchiveError> {
    let mut end = 0;
    let mut sum: u64 = 0;
    for segment in map {
        if segment.offset < end {
            return Err(ArchiveError::Sparse);
        }
        end = segment
            .offset
            .checked_add(segment.length)
            .ok_or(ArchiveError::Sparse)?;
        sum += segment.length;
    }
    if end > real_size || sum != stored {
        return Err(ArchiveError::Sparse);
    }
    Ok(())
}

/// The map of GNU tar's own format: four pieces in the header, more in blocks behind it.
pub(super) fn gnu_map(
    header: &tar::Header,
    input: &mut impl Read,
) -> Result<(Vec<Segment>, u64), ArchiveError> {
    let gnu = header.as_gnu().ok_or(ArchiveError::Sparse)?;
    let mut map = Vec::new();
    push_all(&mut map, &gnu.sparse)?;
    let mut more = gnu.is_extended();
    while more {
        let mut block = GnuExtSparseHeader::new();
        input
            .read_exact(block.as_mut_bytes())
            .map_err(|_| ArchiveError::Truncated)?;
        push_all(&mut map, &block.sparse)?;
        more = block.is_extended();
    }
    let real_size = gnu
        .real_size()
        .map_err(|_| ArchiveError::Number { field: "realsize" })?;
    Ok((map, real_size))
}

fn push_all(map: &mut Vec<Segment>, headers: &[GnuSparseHeader]) -> Result<(), ArchiveError> {
    for header in headers.iter().filter(|header| !header.is_empty()) {
        let wrong = |_| ArchiveError::Number { field: "sparse" };
        map.push(Segment {
            offset: header.offset().map_err(wrong)?,
            length: header.length().map_err(wrong)?,
        });
    }
    if map.len() > SEGMENTS_MAX {
        return Err(ArchiveError::Sparse);
    }
    Ok(())
}

/// The map of pax format 1.0: decimal lines in front of the data, filled up to a full block. Gives
/// the map and the bytes it took.
pub(super) fn data_map(
    input: &mut impl Read,
    stored: u64,
) -> Result<(Vec<Segment>, u64), ArchiveError> {
    let mut lines = Lines {
        input,
        block: [0; BLOCK],
        at: BLOCK,
        taken: 0,
        stored,
    };
    let count = usize::try_from(lines.number()?).map_err(|_| ArchiveError::Sparse)?;
    if count > SEGMENTS_MAX {
        return Err(ArchiveError::Sparse);
    }
    let mut map = Vec::new();
    for _ in 0..count {
        map.push(Segment {
            offset: lines.number()?,
            length: lines.number()?,
        });
    }
    Ok((map, lines.taken))
}

struct Lines<'a, R> {
    input: &'a mut R,
    block: [u8; BLOCK],
    at: usize,
    taken: u64,
    stored: u64,
}

impl<R: Read> Lines<'_, R> {
    fn number(&mut self) -> Result<u64, ArchiveError> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                self.fill()?;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' => return number(&digits, "sparse"),
                _ if digits.len() > 20 => return Err(ArchiveError::Sparse),
                byte => digits.push(byte),
            }
        }
    }

    fn fill(&mut self) -> Result<(), ArchiveError> {
        self.taken += BLOCK as u64;
        if self.taken > self.stored {
            return Err(ArchiveError::Sparse);
        }
        self.at = 0;
        self.input
            .read_exact(&mut self.block)
            .map_err(|_| ArchiveError::Truncated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_map_that_fits_the_file_is_taken() {
        let s = |offset, length| Segment { offset, length };
        for (map, real, stored, fits) in [
            (vec![], 0, 0, true),
            (vec![], 1 << 40, 0, true),
            (vec![s(0, 4), s(8, 4)], 12, 8, true),
            (vec![s(0, 4), s(8, 4)], 11, 8, false),
            (vec![s(0, 4), s(3, 4)], 12, 8, false),
            (vec![s(8, 4), s(0, 4)], 12, 8, false),
            (vec![s(0, 4)], 12, 8, false),
            (vec![s(u64::MAX, 4)], u64::MAX, 4, false),
        ] {
            assert_eq!(check(&map, real, stored).is_ok(), fits, "{map:?}");
        }
    }
}

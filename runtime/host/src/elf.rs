//! Looks at a library without loading it, because loading runs its code and a cut-off file is a SIGBUS.

use object::Endianness;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader, Sym};

type Header = elf::FileHeader64<Endianness>;

/// Why a file is no library that this process could load.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ElfError {
    /// It does not begin like an ELF file.
    #[error(
        "it is no shared library (it does not begin with an ELF header): name the `.so` file that the build made"
    )]
    NotElf,
    /// It is an ELF file, but not a shared library.
    #[error(
        "it is an ELF file, but no shared library: build it as a `cdylib` (Rust) or with `-shared -fPIC` (C)"
    )]
    NotShared,
    /// It was built for another processor.
    #[error("it was built for {found}, this gateway is {here}: build it for this machine")]
    Machine {
        /// What it was built for.
        found: String,
        /// What this process is.
        here: &'static str,
    },
    /// The file ends before what its header promises.
    #[error("it is cut off ({len} bytes, its header promises at least {needed}): copy it again")]
    Truncated {
        /// The length of the file in bytes.
        len: u64,
        /// The length that the header promises, in bytes.
        needed: u64,
    },
    /// Its tables make no sense.
    #[error("its ELF tables are damaged: copy it again, or build it again")]
    Damaged,
}

#[cfg(target_arch = "x86_64")]
const HERE: (object::elf::Machine, &str) = (elf::EM_X86_64, "x86-64");
#[cfg(target_arch = "aarch64")]
const HERE: (object::elf::Machine, &str) = (elf::EM_AARCH64, "aarch64");

/// The dynamic symbols of a library that begin with `prefix`: name, and size in bytes.
pub(crate) fn symbols(data: &[u8], prefix: &str) -> Result<Vec<(String, u64)>, ElfError> {
    if !data.starts_with(b"\x7fELF") {
        return Err(ElfError::NotElf);
    }
    let len = data.len() as u64;
    if data.len() < size_of::<Header>() {
        return Err(ElfError::Truncated { len, needed: size_of::<Header>() as u64 });
    }
    let header = Header::parse(data)
        .map_err(|_| ElfError::Machine { found: "a 32-bit or other machine".to_owned(), here: HERE.1 })?;
    let endian = header.endian().map_err(|_| ElfError::Damaged)?;
    let machine = header.e_machine(endian);
    if machine != HERE.0 || endian != Endianness::Little {
        return Err(ElfError::Machine { found: machine_name(machine), here: HERE.1 });
    }
    if header.e_type(endian) != elf::ET_DYN {
        return Err(ElfError::NotShared);
    }
    let table_end = header.e_shoff(endian).saturating_add(
        u64::from(header.e_shnum(endian)).saturating_mul(u64::from(header.e_shentsize(endian))),
    );
    let mut needed = table_end;
    for segment in header.program_headers(endian, data).map_err(|_| ElfError::Truncated { len, needed })? {
        needed = needed.max(segment.p_offset(endian).saturating_add(segment.p_filesz(endian)));
    }
    if needed > len {
        return Err(ElfError::Truncated { len, needed });
    }
    let sections = header.sections(endian, data).map_err(|_| ElfError::Damaged)?;
    let symbols = sections.symbols(endian, data, elf::SHT_DYNSYM).map_err(|_| ElfError::Damaged)?;
    let mut found = Vec::new();
    for symbol in symbols.iter() {
        let Ok(name) = symbol.name(endian, symbols.strings()) else { return Err(ElfError::Damaged) };
        if let Ok(name) = std::str::from_utf8(name)
            && name.starts_with(prefix)
            && symbol.st_shndx(endian) != elf::SHN_UNDEF
        {
            found.push((name.to_owned(), symbol.st_size(endian)));
        }
    }
    Ok(found)
}

fn machine_name(machine: object::elf::Machine) -> String {
    match machine {
        elf::EM_X86_64 => "x86-64".to_owned(),
        elf::EM_AARCH64 => "aarch64".to_owned(),
        elf::EM_386 => "32-bit x86".to_owned(),
        elf::EM_ARM => "32-bit ARM".to_owned(),
        elf::EM_RISCV => "RISC-V".to_owned(),
        other => format!("ELF machine {other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_prefix_of_a_library_passes_or_panics() {
        // Any shared library will do; the C library is on every machine this runs on.
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let path = maps.lines().filter_map(|l| l.split_whitespace().nth(5)).find(|p| p.contains("libc.so"));
        let data = std::fs::read(path.expect("the C library is mapped")).expect("readable");
        assert!(!symbols(&data, "malloc").expect("whole").is_empty());
        for end in (0..data.len() - 1).step_by(data.len() / 97) {
            assert!(symbols(&data[..end], "malloc").is_err(), "{end} of {} bytes", data.len());
        }
    }

    #[test]
    fn other_files_are_told_apart() {
        assert_eq!(symbols(b"hello", ""), Err(ElfError::NotElf));
        assert_eq!(symbols(b"", ""), Err(ElfError::NotElf));
        let me = std::fs::read("/proc/self/exe").expect("readable");
        let mut other = me[..4096].to_vec();
        other[18] = 40; // EM_ARM
        assert!(matches!(symbols(&other, ""), Err(ElfError::Machine { .. })));
    }
}

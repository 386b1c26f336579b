#!/usr/bin/python3
"""One person under several patient IDs is one patient: IDs padded, in two character sets, missing,
or two in one study. Different persons stay apart. Pseudonyms by Python's hmac; the key file."""

import json
import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "data"))
import chain
import small_dicom

import pydicom

STUDY = 0x0020000D


def raw(path, patient_id, study=None, characters=None):
    """Puts these bytes into the file as its Patient ID."""
    ds = pydicom.dcmread(path)
    ds.PatientID = "@" * (len(patient_id) + len(patient_id) % 2)
    if characters:
        ds.SpecificCharacterSet = characters
    if study:
        ds[STUDY].value = study
    ds.save_as(path)
    value = patient_id + b" " * (len(patient_id) % 2)
    with open(path, "rb") as f:
        data = f.read()
    assert data.count(b"@" * len(value)) == 1 or not value
    with open(path, "wb") as f:
        f.write(data.replace(b"@" * len(value), value) if value else data)


# Per series: bytes of the ID, study, character set, and the ID that the pseudonym is made of (None:
# the study).
CASES = [
    (b"PAD 1", "1.1", None, "PAD 1"),
    (b"  PAD 1 ", "1.2", None, "PAD 1"),
    (b"PAD 1\0\0\0", "1.3", None, "PAD 1"),
    ("Müller".encode("latin-1"), "1.4", "ISO_IR 100", "Müller"),
    ("Müller".encode("utf-8"), "1.5", "ISO_IR 192", "Müller"),
    ("М77".encode("iso-8859-5"), "1.6", "ISO_IR 144", "М77"),
    (b"A\\B", "1.7", None, "A\\B"),
    (b"A\\C", "1.8", None, "A\\C"),
    (b"A", "1.9", None, "A"),
    (b"", "1.10", None, None),
    (b"\0\0", "1.11", None, None),
    (b"LOST", "1.12", None, "LOST"),
    (b"", "1.12", None, "LOST"),
    (b"OLD", "1.13", None, "NEW"),  # the ID that is first in order names the patient
    (b"NEW", "1.13", None, "NEW"),
    (b"OLD", "1.14", None, "NEW"),  # ... in the other studies of either ID, too
    (b"NEW", "1.15", None, "NEW"),
    ("山田77".encode("iso2022_jp"), "1.18", "\\ISO 2022 IR 87", "山田77"),
    ("山田77".encode("utf-8"), "1.19", "ISO_IR 192", "山田77"),
    ("仝七九".encode("iso2022_jp"), "1.20", "ISO 2022 IR 6\\ISO 2022 IR 87", "仝七九"),  # a "\\" in it
    (b"\xd4\xcf\xc0\xde \x1b$B;3\x1b(J9", "1.21", "ISO 2022 IR 13\\ISO 2022 IR 87", "ﾔﾏﾀﾞ 山9"),
    ("丂2".encode("iso2022_jp_2"), "1.22", "\\ISO 2022 IR 159", "丂2"),
    (b"\x1b$)C" + "김 5".encode("euc_kr"), "1.23", "\\ISO 2022 IR 149", "김 5"),
    (b"\x1b$)A" + "张3".encode("gb2312"), "1.24", "\\ISO 2022 IR 58", "张3"),
    ("张4".encode("gb18030"), "1.25", "GB18030", "张4"),
    ("นาย".encode("tis_620"), "1.26", "ISO_IR 166", "นาย"),
    (b"\x1b-F" + "Δ1".encode("iso8859_7") + b"\x1b-A\xfc", "1.27", "ISO 2022 IR 100\\ISO 2022 IR 126",
     "Δ1ü"),
    (b"x" * 400, "1.16", None, None),
    (b"x" * 399 + b"y", "1.17", None, None),
]


def patients(place):
    dicom = place + "/dicom"
    for n, (patient_id, study, characters, _) in enumerate(CASES):
        folder = f"{dicom}/{n:02d}"
        small_dicom.write_patient(folder, n, (3, 16, 16))
        for name in os.listdir(folder):
            raw(os.path.join(folder, name), patient_id, study, characters)
    yaml = place + "/study.yaml"
    with open(yaml, "w") as f:
        f.write(f"name: x\nout: {place}/run\ningest: {{dicom: {dicom}, labels: seg}}\n")
    stores = []
    for ranks in (1, 3):
        said = chain.run(ranks, "ingest", yaml, "--set", f"out={place}/run{ranks}")
        stores.append(chain.hashes(f"{place}/run{ranks}/store"))
    assert {k: v for k, v in stores[0].items() if k.endswith(".h5")} == \
        {k: v for k, v in stores[1].items() if k.endswith(".h5")}
    found = {}
    volumes = chain.read_store(f"{place}/run1/store")[0]
    assert len(volumes) == len(CASES)
    for n in range(len(CASES)):  # which volume is which: by its origin
        origin = small_dicom.geometry(n)[0]
        (name,) = [k for k, v in volumes.items() if abs(v[2]["origin"] - origin).max() < 1e-3]
        found[n] = name.rpartition("-")[0]
    for n, (_, _, _, same) in enumerate(CASES):
        if same:
            assert found[n] == chain.pseudonym(same), (CASES[n], found[n])
    apart = [n for n, case in enumerate(CASES) if case[3] is None]
    assert len({found[n] for n in apart}) == len(apart) == 4
    assert len(set(found.values())) == len({c[3] for c in CASES if c[3]}) + len(apart)
    # Every merge is said, with a file of both sides, and nothing else.
    with open(f"{place}/run1/ingest.json") as f:
        merges = ["%s %s" % (m["file"], m["reason"]) for m in json.load(f)["findings"]
                  if "taken for one patient" in m["reason"]]

    def is_said(reason, *series):
        (line,) = [m for m in merges if reason in m and
                   all(f"{n:02d}/" in m for n in series)]
        merges.remove(line)

    is_said("in two ways", 3, 4)
    is_said("no patient ID", 11, 12)
    is_said("two patient IDs", 13, 14)
    is_said("in two ways", 17, 18)
    assert len(merges) == 2 and all("in two ways" in m for m in merges), merges  # PAD 1, three ways
    for text in ("OLD", "NEW", "LOST", "PAD 1"):
        assert text not in said.replace(f"{place}", ""), said


def keys(place):
    """Another key gives other pseudonyms and another store; a key at a bad place is refused."""
    dicom, yaml = place + "/one", place + "/one.yaml"
    small_dicom.write_patient(dicom + "/a", 0, (3, 16, 16))
    with open(yaml, "w") as f:
        f.write(f"name: x\nout: {place}/one-run\ningest: {{dicom: {dicom}, labels: seg}}\n")
    chain.run(1, "ingest", yaml)
    before = chain.read_store(place + "/one-run/store")[0]
    assert "current" in chain.run(2, "ingest", yaml)
    said = chain.run(2, "ingest", yaml, "--set", f"ingest.key={place}/other.key")
    assert "new key" in said and "current" not in said, said
    after = chain.read_store(place + "/one-run/store")[0]
    assert len(after) == len(before) == 1 and not set(before) & set(after)
    said = chain.run(2, "ingest", yaml, "--set", f"ingest.key={place}/other.key")
    assert "new key" not in said and "current" in said, said
    with open(place + "/other.key", "rb") as f:
        key = f.read()
    assert len(key) == 32 and os.stat(place + "/other.key").st_mode & 0o777 == 0o600
    for folder, _, names in os.walk(place + "/one-run"):
        assert os.stat(folder).st_mode & 0o777 == 0o700, folder
        for name in names:
            path = os.path.join(folder, name)
            with open(path, "rb") as f:
                data = f.read()
            assert key not in data and key.hex().encode() not in data, path
            assert os.stat(path).st_mode & 0o777 == 0o600, path
    said = chain.run(2, "ingest", yaml, "--set", f"ingest.key={place}/one-run/k", expect=2)
    assert "outside of the run directory" in said, said
    os.chmod(place + "/other.key", 0o644)
    said = chain.run(2, "ingest", yaml, "--set", f"ingest.key={place}/other.key", expect=2)
    assert "others can open it" in said, said


def main():
    with tempfile.TemporaryDirectory(prefix="ctaug-patients-") as place:
        patients(place)
        keys(place)


main()

"""OMP_NUM_THREADS that is no usable number of threads is refused with one line, on any ranks."""
import os

import chain

most = 4 * os.sysconf("SC_NPROCESSORS_ONLN")
with chain.Place() as place:
    for ranks in (0, 2):
        for value in ("0", "-1", "two", "", "1.5", "3x", "9" * 30, str(most + 1)):
            said = chain.run(ranks, "verify", place.dicom, expect=2,
                             env={"OMP_NUM_THREADS": value})
            lines = [line for line in said.splitlines() if line.startswith("ctaug: ")]
            assert len(lines) == 1 and "OMP_NUM_THREADS is" in lines[0], (value, said)
            assert value in lines[0], (value, lines)
            assert not os.path.exists(f"{place.root}/run")
        for value in ("1", " 2 ", "2,1", str(most)):
            said = chain.run(ranks, "verify", place.dicom, expect=3,
                             env={"OMP_NUM_THREADS": value})
            assert "nothing is published" in said, (value, said)

#!/usr/bin/env python3
"""Scores molecules: an objective for `objective: {kind: command}`.

    python3 pipeline/scripts/score_molecules.py --task median_molecules_2

SELFIES come in, one a line; a score of GuacaMol (Brown et al. 2019) goes out for each, from 0 to 1 and higher is better,
or `infeasible` for what is no molecule. With --canonical each molecule is written in one way instead: the SELFIES of RDKit's
canonical SMILES, or an empty line for what is no molecule. Runs in the environment that `make molecules` sets up, whatever Python it is
started with.
"""

import argparse
import importlib.util
import os
import sys
import types
from pathlib import Path

NEEDED = ("guacamol", "numpy", "rdkit", "scipy", "selfies")
TASKS = {
    "amlodipine_mpo": "amlodipine_rings",
    "fexofenadine_mpo": "hard_fexofenadine",
    "median_molecules_1": "median_camphor_menthol",
    "median_molecules_2": "median_tadalafil_sildenafil",
    "osimertinib_mpo": "hard_osimertinib",
    "perindopril_mpo": "perindopril_rings",
    "ranolazine_mpo": "ranolazine_mpo",
    "sitagliptin_mpo": "sitagliptin_replacement",
    "valsartan_smarts": "valsartan_smarts",
    "zaleplon_mpo": "zaleplon_with_other_formula",
}


def environment():
    """Goes on in the Python of `make molecules`, unless this one has all that is needed."""
    lacking = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if not lacking:
        return
    named = os.environ.get("LATENT_ALIGN_MOLECULES_PYTHON")
    target = os.environ.get("CARGO_TARGET_DIR") or Path(__file__).resolve().parents[2] / "target"
    python = Path(named or Path(target) / "molecules" / "bin" / "python")
    # a Python of an environment is a link, and another program than what it links to
    if not python.is_file() or python.absolute() == Path(sys.executable).absolute():
        sys.exit(
            f"error: {sys.executable} lacks {', '.join(lacking)}, and {python} is not there or lacks them too. "
            "Type: make molecules"
        )
    os.execv(python, [str(python), *sys.argv])


def objective(task):
    """GuacaMol's scoring function of `task`."""
    import numpy
    import scipy
    from rdkit import RDLogger

    # GuacaMol 0.5.5 takes this from SciPy, which has left it to NumPy since 1.11; and imports the Fréchet distance, which
    # is for other benchmarks and wants PyTorch
    if not hasattr(scipy, "histogram"):
        scipy.histogram = numpy.histogram
    if importlib.util.find_spec("fcd") is None:
        sys.modules["fcd"] = types.ModuleType("fcd")
    from guacamol import standard_benchmarks

    RDLogger.DisableLog("rdApp.*")
    return getattr(standard_benchmarks, TASKS[task])().objective


def canonical(text):
    """The molecule `text` as it is always written; nothing for what is none."""
    import selfies
    from rdkit import Chem

    try:
        molecule = Chem.MolFromSmiles(selfies.decoder(text))
        if molecule is None or molecule.GetNumAtoms() == 0:
            return ""
        written = selfies.encoder(Chem.MolToSmiles(molecule))
    except (selfies.DecoderError, selfies.EncoderError):
        return ""
    # several molecules with a point between them, which stands in no bracket
    return "" if "." in written else written


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", choices=sorted(TASKS), default="median_molecules_2")
    parser.add_argument("--canonical", action="store_true", help="write molecules, not scores")
    given = parser.parse_args()
    environment()
    import selfies

    if given.canonical:
        from rdkit import RDLogger

        RDLogger.DisableLog("rdApp.*")
        for line in sys.stdin:
            print(canonical(line.strip()), flush=True)
        return

    scored = objective(given.task)
    for line in sys.stdin:
        try:
            smiles = selfies.decoder(line.strip())
        except selfies.DecoderError:
            smiles = ""
        score = scored.score(smiles) if smiles else -1.0
        # GuacaMol says -1 for what is no molecule
        print("infeasible" if score < 0 else repr(float(score)), flush=True)


if __name__ == "__main__":
    main()

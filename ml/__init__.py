import os

# Before onnxruntime is loaded: from then on it would report to Microsoft what it runs, with a
# number for this machine that it keeps in the home folder. It does so from C++, unseen by Python.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

"""`python -m tpc_stream` is `tpc-stream`."""

from tpc_stream.cli import main

if __name__ == "__main__":
    main()

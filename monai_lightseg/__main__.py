"""`python -m monai_lightseg` is the command `lightseg`."""

from monai_lightseg.cli import main

if __name__ == "__main__":
    main()

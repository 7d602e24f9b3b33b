"""`python -m oneloom`: run a program on oneloom's modules instead of the standard library's."""

from oneloom._run import main

if __name__ == "__main__":
    main()

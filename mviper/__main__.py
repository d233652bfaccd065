"""``python -m mviper``: the console command."""

from mviper.cli import main

if __name__ == "__main__":
    main()

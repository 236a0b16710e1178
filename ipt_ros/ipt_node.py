def main() -> None:
    print("node")

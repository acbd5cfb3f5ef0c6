export default function* main() {
  const args: string[] = process.argv.slice(2);
  console.log(JSON.stringify(args));
}

export default async function main() {}
